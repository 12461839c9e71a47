//! Reads descriptions, RFC 8866 §9. One pass over the lines; what is kept is bounded by [`Limits`].
//!
//! Taken beside what the RFC says, since it is seen: lines ended by LF alone, kinds of lines in another order, no `s=` and no
//! `t=`. Not taken: a letter that no RFC knows (RFC 8866 §5).

use crate::address::{Address, Connection, number};
use crate::attribute::Attribute;
use crate::malformed::{Expected, Malformed};
use crate::session::{Bandwidth, Kind, Media, Note, Origin, Protocol, Session, Time};
use crate::text::{Text, Token};

/// How much of a description is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the whole.
    pub bytes: usize,
    /// Bytes of a line.
    pub line: usize,
    /// M-lines.
    pub media: usize,
    /// Lines of an m-line, or before the first.
    pub lines_each: usize,
    /// Candidates of an m-line.
    pub candidates_each: usize,
    /// Formats of an m-line.
    pub formats_each: usize,
}

impl Default for Limits {
    /// A browser needs 8 kB and about 150 lines for video; a room of a hundred has as many m-lines.
    fn default() -> Self {
        Self { bytes: 2 << 20, line: 8 << 10, media: 512, lines_each: 1_024, candidates_each: 256, formats_each: 256 }
    }
}

/// Reads a description within the usual [`Limits`].
pub fn parse(text: &str) -> Result<Session, Malformed> {
    parse_within(text, &Limits::default())
}

/// Reads a description.
pub fn parse_within(text: &str, limits: &Limits) -> Result<Session, Malformed> {
    if text.len() > limits.bytes {
        return Err(Malformed::TooMany { line: 1, most: limits.bytes, what: "bytes" });
    }
    let mut reader = Reader::new(limits);
    let mut lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).zip(1_usize..);
    match lines.next() {
        Some(("v=0", _)) => {}
        Some((other, line)) => return Err(Malformed::line(line, "`v=0`", other)),
        None => return Err(Malformed::Missing { expected: "`v=0`" }),
    }
    for (line, number) in lines.filter(|(line, _)| !line.is_empty()) {
        reader.check(number, line)?;
        reader.read(number, line)?;
    }
    reader.finish()
}

struct Reader<'a> {
    limits: &'a Limits,
    origin: Option<Origin>,
    session: Session,
    lines: usize,
    candidates: usize,
}

impl<'a> Reader<'a> {
    fn new(limits: &'a Limits) -> Self {
        let nowhere = Connection::nowhere().address;
        let origin = Origin { user: Token::ours("-"), id: Token::ours("0"), version: 0, address: nowhere };
        Self { limits, origin: None, session: Session::new(origin), lines: 0, candidates: 0 }
    }

    /// Bounds, and what no line may contain.
    fn check(&mut self, line: usize, text: &str) -> Result<(), Malformed> {
        self.lines += 1;
        if text.len() > self.limits.line {
            return Err(Malformed::TooMany { line, most: self.limits.line, what: "bytes in a line" });
        }
        if self.lines > self.limits.lines_each {
            return Err(Malformed::TooMany { line, most: self.limits.lines_each, what: "lines in a section" });
        }
        Ok(())
    }

    fn read(&mut self, line: usize, text: &str) -> Result<(), Malformed> {
        let malformed = |expected| Malformed::line(line, expected, text);
        let (letter, value) = text.split_once('=').ok_or_else(|| malformed("a letter and `=`"))?;
        match letter {
            "m" => self.begin_media(line, text, value),
            "a" => self.read_attribute(line, text, value),
            "c" => {
                let connection = Connection::parse(value).map_err(malformed)?;
                match self.session.media.last_mut() {
                    Some(media) => media.connections.push(connection),
                    None => self.session.connection = Some(connection),
                }
                Ok(())
            }
            "b" => {
                let bandwidth = Bandwidth::parse(value).map_err(malformed)?;
                match self.session.media.last_mut() {
                    Some(media) => media.bandwidths.push(bandwidth),
                    None => self.session.bandwidths.push(bandwidth),
                }
                Ok(())
            }
            // RFC 8866 §5.12: obsolete, and to be discarded.
            "k" => Ok(()),
            "i" if !self.session.media.is_empty() => {
                let title = Text::new(value).ok_or_else(|| malformed("text"))?;
                if let Some(media) = self.session.media.last_mut() {
                    media.title = Some(title);
                }
                Ok(())
            }
            letter if self.session.media.is_empty() => self.read_head(letter, value).map_err(malformed),
            _ => Err(malformed("`m=`, `i=`, `c=`, `b=`, `k=` or `a=`")),
        }
    }

    /// What stands before the first m-line only.
    fn read_head(&mut self, letter: &str, value: &str) -> Result<(), Expected> {
        let text = || Text::new(value).ok_or("text");
        match letter {
            "o" => self.origin = Some(Origin::parse(value)?),
            // RFC 8866 §5.3: a session without a meaningful name is called `-`.
            "s" => self.session.name = if value.is_empty() { Text::ours("-") } else { text()? },
            "i" => self.session.notes.push((Note::Information, text()?)),
            "u" => self.session.notes.push((Note::Uri, text()?)),
            "e" => self.session.notes.push((Note::Email, text()?)),
            "p" => self.session.notes.push((Note::Phone, text()?)),
            "t" => self.session.times.push(Time::parse(value)?),
            "r" => match self.session.times.last_mut() {
                Some(time) => time.repeats.push(text()?),
                None => return Err("`t=` before `r=`"),
            },
            "z" => self.session.zones = Some(text()?),
            _ => return Err("a letter of RFC 8866"),
        }
        Ok(())
    }

    fn begin_media(&mut self, line: usize, text: &str, value: &str) -> Result<(), Malformed> {
        if self.session.media.len() >= self.limits.media {
            return Err(Malformed::TooMany { line, most: self.limits.media, what: "m-lines" });
        }
        let media = Media::parse(value).map_err(|expected| Malformed::line(line, expected, text))?;
        if media.formats.len() > self.limits.formats_each {
            return Err(Malformed::TooMany { line, most: self.limits.formats_each, what: "formats" });
        }
        self.session.media.push(media);
        (self.lines, self.candidates) = (1, 0);
        Ok(())
    }

    fn read_attribute(&mut self, line: usize, text: &str, value: &str) -> Result<(), Malformed> {
        let attribute = Attribute::parse(value).map_err(|expected| Malformed::line(line, expected, text))?;
        if matches!(attribute, Attribute::Candidate(_)) {
            self.candidates += 1;
            if self.candidates > self.limits.candidates_each {
                return Err(Malformed::TooMany { line, most: self.limits.candidates_each, what: "candidates" });
            }
        }
        match self.session.media.last_mut() {
            Some(media) => media.attributes.push(attribute),
            None => self.session.attributes.push(attribute),
        }
        Ok(())
    }

    fn finish(self) -> Result<Session, Malformed> {
        let mut session = self.session;
        session.origin = self.origin.ok_or(Malformed::Missing { expected: "`o=`" })?;
        if session.times.is_empty() {
            session.times.push(Time::default());
        }
        Ok(session)
    }
}

impl Session {
    /// A description without m-lines.
    pub(crate) fn new(origin: Origin) -> Self {
        Self {
            origin,
            name: Text::ours("-"),
            notes: Vec::new(),
            connection: None,
            bandwidths: Vec::new(),
            times: Vec::new(),
            zones: None,
            attributes: Vec::new(),
            media: Vec::new(),
        }
    }
}

impl Origin {
    fn parse(value: &str) -> Result<Self, Expected> {
        let words: Vec<_> = value.split_ascii_whitespace().take(7).collect();
        let [user, id, version, net, family, host] = words.as_slice() else {
            return Err("user, session, version, network type, address type and address");
        };
        let user = Token::new(user).ok_or("a user")?;
        let id = Token::new(id).ok_or("the number of a session")?;
        let version = number(version).ok_or("the number of a version below 2^64")?;
        Ok(Self { user, id, version, address: Address::parse(net, family, host)? })
    }
}

impl Bandwidth {
    fn parse(value: &str) -> Result<Self, Expected> {
        let (kind, value) = value.split_once(':').ok_or("a kind of bandwidth and its value")?;
        let kind = Token::new(kind.trim()).ok_or("a kind of bandwidth")?;
        Ok(Self { kind, value: number(value.trim()).ok_or("the value of a bandwidth")? })
    }
}

impl Time {
    fn parse(value: &str) -> Result<Self, Expected> {
        let words: Vec<_> = value.split_ascii_whitespace().take(3).collect();
        let times = match words.as_slice() {
            [start, stop] => number(start).zip(number(stop)),
            _ => None,
        };
        let (start, stop) = times.ok_or("a start and a stop time")?;
        Ok(Self { start, stop, repeats: Vec::new() })
    }
}

impl Media {
    fn parse(value: &str) -> Result<Self, Expected> {
        let mut words = value.split_ascii_whitespace();
        let kind = words.next().and_then(Kind::parse).ok_or("a kind of media")?;
        let (port, ports) = parse_port(words.next().ok_or("a port")?).ok_or("a port")?;
        let protocol = words.next().and_then(Protocol::parse).ok_or("a protocol")?;
        let formats = words.map(Token::new).collect::<Option<Vec<_>>>().ok_or("formats")?;
        // RFC 8866 §9 wants one; an m-line that is refused is seen without.
        if formats.is_empty() && port != 0 {
            return Err("a format");
        }
        Ok(Self::new(kind, port, ports, protocol, formats))
    }

    pub(crate) fn new(kind: Kind, port: u16, ports: Option<u16>, protocol: Protocol, formats: Vec<Token>) -> Self {
        let (connections, bandwidths, attributes) = (Vec::new(), Vec::new(), Vec::new());
        Self { kind, port, ports, protocol, formats, title: None, connections, bandwidths, attributes }
    }
}

fn parse_port(text: &str) -> Option<(u16, Option<u16>)> {
    match text.split_once('/') {
        Some((port, ports)) => Some((number(port)?, Some(number(ports)?))),
        None => Some((number(text)?, None)),
    }
}
