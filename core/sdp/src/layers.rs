//! Several encodings of one track: `a=rid` (RFC 8851) and `a=simulcast` (RFC 8853).

use std::fmt;

use crate::codec::payload_type;
use crate::malformed::Expected;
use crate::text::{Text, Token};

/// Names an encoding within its m-line: letters, digits, `-` and `_`, since it travels in header extensions.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RidId(Token);

/// Which way an encoding goes, seen from who says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// `send`.
    Send,
    /// `recv`.
    Receive,
}

/// `a=rid`: an encoding and what bounds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rid {
    /// Its name.
    pub id: RidId,
    /// Which way it goes.
    pub way: Way,
    /// It comes as one of these payload types only; any, if there are none.
    pub numbers: Vec<u8>,
    /// `max-width=1280`, `max-br=…`: names and values, RFC 8851 §5.
    pub restrictions: Vec<(Token, Option<Text>)>,
}

/// `a=simulcast`: which encodings go each way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Simulcast {
    /// What who says it sends.
    pub send: Vec<Layer>,
    /// What who says it receives.
    pub receive: Vec<Layer>,
}

/// One encoding of a simulcast: one of the alternatives, the first the likeliest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// At least one.
    pub alternatives: Vec<Alternative>,
}

/// An encoding by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alternative {
    /// Which.
    pub id: RidId,
    /// Nothing is sent of it, at first.
    pub activity: Activity,
}

/// Whether an encoding is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// It is.
    Active,
    /// `~`: not yet.
    Paused,
}

impl RidId {
    /// `None`: other characters, or more than the 255 bytes that a header extension holds.
    pub fn new(text: &str) -> Option<Self> {
        // RFC 8851 has `-` and `_`, too; RFC 8852 §3.1 has not, but such names are seen.
        let fits = text.len() <= 255 && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        fits.then(|| Token::new(text)).flatten().map(Self)
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl Way {
    /// Seen from the other end.
    pub const fn other(self) -> Self {
        match self {
            Self::Send => Self::Receive,
            Self::Receive => Self::Send,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Receive => "recv",
        }
    }

    fn parse(text: &str) -> Result<Self, Expected> {
        match text {
            "send" => Ok(Self::Send),
            "recv" => Ok(Self::Receive),
            _ => Err("`send` or `recv`"),
        }
    }
}

impl Rid {
    /// An encoding without bounds.
    pub fn new(id: RidId, way: Way) -> Self {
        Self { id, way, numbers: Vec::new(), restrictions: Vec::new() }
    }

    pub(crate) fn parse(value: &str) -> Result<Self, Expected> {
        let mut words = value.splitn(3, ' ');
        let id = words.next().and_then(RidId::new).ok_or("the name of an encoding")?;
        let way = Way::parse(words.next().ok_or("`send` or `recv`")?)?;
        let mut rid = Self::new(id, way);
        for part in words.next().unwrap_or_default().split(';').filter(|part| !part.trim().is_empty()) {
            rid.restrict(part.trim())?;
        }
        Ok(rid)
    }

    fn restrict(&mut self, part: &str) -> Result<(), Expected> {
        let (name, value) = part.split_once('=').map_or((part, None), |(name, value)| (name, Some(value)));
        match (name, value) {
            ("pt", Some(list)) => {
                self.numbers = list.split(',').take(MAX).map(payload_type).collect::<Result<_, _>>()?;
            }
            (name, value) => {
                let name = Token::new(name).ok_or("the name of a restriction")?;
                let value = value.map(|value| Text::new(value).ok_or("its value")).transpose()?;
                self.restrictions.push((name, value));
            }
        }
        if self.restrictions.len() > MAX { Err("fewer restrictions") } else { Ok(()) }
    }

    /// Whether we understand what bounds it. RFC 8851 §6.2.2: who does not, does not take the encoding.
    pub fn is_understood(&self) -> bool {
        self.restrictions.iter().all(|(name, _)| RESTRICTIONS.contains(&name.as_str()))
    }
}

impl Simulcast {
    pub(crate) fn parse(value: &str) -> Result<Self, Expected> {
        let mut words = value.split_ascii_whitespace();
        let mut read = Self::default();
        while let Some(way) = words.next() {
            let layers = Layer::parse_list(words.next().ok_or("a list of encodings")?)?;
            let list = match Way::parse(way)? {
                Way::Send => &mut read.send,
                Way::Receive => &mut read.receive,
            };
            if !list.is_empty() {
                return Err("each of `send` and `recv` once");
            }
            *list = layers;
        }
        if read.send.is_empty() && read.receive.is_empty() { Err("`send` or `recv`") } else { Ok(read) }
    }

    /// One way of it.
    pub fn layers(&self, way: Way) -> &[Layer] {
        match way {
            Way::Send => &self.send,
            Way::Receive => &self.receive,
        }
    }
}

impl Layer {
    /// One that has no alternatives.
    pub fn of(id: RidId) -> Self {
        Self { alternatives: vec![Alternative { id, activity: Activity::Active }] }
    }

    fn parse_list(text: &str) -> Result<Vec<Self>, Expected> {
        let layers: Vec<_> = text.split(';').take(MAX + 1).map(Self::parse).collect::<Result<_, _>>()?;
        if layers.len() > MAX { Err("fewer encodings") } else { Ok(layers) }
    }

    fn parse(text: &str) -> Result<Self, Expected> {
        let alternatives: Vec<_> = text.split(',').take(MAX + 1).map(Alternative::parse).collect::<Result<_, _>>()?;
        if alternatives.len() > MAX { Err("fewer alternatives") } else { Ok(Self { alternatives }) }
    }
}

impl Alternative {
    fn parse(text: &str) -> Result<Self, Expected> {
        let (id, activity) = match text.strip_prefix('~') {
            Some(id) => (id, Activity::Paused),
            None => (text, Activity::Active),
        };
        Ok(Self { id: RidId::new(id).ok_or("the name of an encoding")?, activity })
    }
}

impl fmt::Display for RidId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Rid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.id, self.way.name())?;
        let mut before = " ";
        if !self.numbers.is_empty() {
            write!(f, "{before}pt=")?;
            join(f, &self.numbers, ",")?;
            before = ";";
        }
        for (name, value) in &self.restrictions {
            write!(f, "{before}{name}")?;
            value.as_ref().map_or(Ok(()), |value| write!(f, "={value}"))?;
            before = ";";
        }
        Ok(())
    }
}

impl fmt::Display for Simulcast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut before = "";
        for (way, layers) in [(Way::Send, &self.send), (Way::Receive, &self.receive)] {
            if !layers.is_empty() {
                write!(f, "{before}{} ", way.name())?;
                join(f, layers, ";")?;
                before = " ";
            }
        }
        Ok(())
    }
}

impl fmt::Display for Layer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        join(f, &self.alternatives, ",")
    }
}

impl fmt::Display for Alternative {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let paused = match self.activity {
            Activity::Active => "",
            Activity::Paused => "~",
        };
        write!(f, "{paused}{}", self.id)
    }
}

pub(crate) fn join<T: fmt::Display>(f: &mut fmt::Formatter<'_>, list: &[T], between: &str) -> fmt::Result {
    list.iter().enumerate().try_for_each(|(at, item)| {
        let between = if at == 0 { "" } else { between };
        write!(f, "{between}{item}")
    })
}

/// RFC 8851 §5.
const RESTRICTIONS: [&str; 8] =
    ["max-width", "max-height", "max-fps", "max-fs", "max-br", "max-pps", "max-bpp", "depend"];
/// Encodings, alternatives, restrictions: three of each are usual.
const MAX: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_rfcs_are_read_and_printed() {
        // RFC 8851 §10, RFC 8853 §5.6.
        for text in
            ["1 send pt=97;max-width=1280;max-height=720", "3 recv pt=96,97;max-fps=60", "f send", "2 recv depend=1"]
        {
            assert_eq!(Rid::parse(text).expect(text).to_string(), text);
        }
        for text in ["send 1,2,3;~4,~5 recv 6;~7,~8", "recv 1;4,5 send 6;7", "send q;h;f"] {
            let read = Simulcast::parse(text).expect(text);
            assert_eq!(Simulcast::parse(&read.to_string()), Ok(read));
        }
    }

    #[test]
    fn what_is_no_simulcast_is_refused() {
        for bad in ["", "send", "send ", "send a;;b", "sent a", "send a send b", "send ü", " send rid=f", "send ~"] {
            assert!(Simulcast::parse(bad).is_err(), "{bad}");
        }
        for bad in ["", "f", "f both", "f send pt=128", "f send pt=", "a.b send"] {
            assert!(Rid::parse(bad).is_err(), "{bad}");
        }
        assert!(!Rid::parse("f send quantum=1").expect("a rid").is_understood());
    }
}
