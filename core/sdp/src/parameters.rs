//! What stands after the format in `a=fmtp`: `name=value` pairs between semicolons (RFC 4855 §3), or, with `telephone-event`
//! and `red`, one word without a name.

use std::fmt;
use std::str::FromStr;

use crate::address::number;
use crate::text::Text;

/// Parameters of a format, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Parameters(Vec<(Text, Option<Text>)>);

impl Parameters {
    /// None.
    pub const fn none() -> Self {
        Self(Vec::new())
    }

    /// Reads them. What comes after the 64th is left out.
    pub fn parse(text: &str) -> Self {
        let pair = |part: &str| match part.split_once('=') {
            Some((name, value)) => Some((Text::new(name.trim())?, Some(Text::new(value.trim())?))),
            None => Some((Text::new(part.trim())?, None)),
        };
        let named = |(name, _): &(Text, Option<Text>)| !name.as_str().is_empty();
        Self(text.split(';').take(MAX).filter_map(pair).filter(named).collect())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of a parameter, whatever the case of its name.
    pub fn value(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(found, _)| found.as_str().eq_ignore_ascii_case(name))?;
        value.as_ref().map(Text::as_str)
    }

    /// The value of a parameter that is a number.
    pub fn number<T: FromStr>(&self, name: &str) -> Option<T> {
        self.value(name).and_then(number)
    }

    /// Whether a parameter is `1`.
    pub fn flag(&self, name: &str) -> bool {
        self.value(name) == Some("1")
    }

    /// What stands there without a name: `0-15`, `111/111`.
    pub fn bare(&self) -> Option<&str> {
        self.0.first().filter(|(_, value)| value.is_none()).map(|(name, _)| name.as_str())
    }

    /// The same with one parameter set. A value that would not stay on its line, or would end the parameter, sets nothing.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        let fits = |text: &str| !text.contains(';');
        if let (Some(key), Some(new), true) = (Text::new(name), Text::new(value), fits(name) && fits(value)) {
            match self.0.iter_mut().find(|(found, _)| found.as_str().eq_ignore_ascii_case(name)) {
                Some((_, old)) => *old = Some(new),
                None => self.0.push((key, Some(new))),
            }
        }
        self
    }
}

impl fmt::Display for Parameters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (name, value)) in self.0.iter().enumerate() {
            let between = if at == 0 { "" } else { ";" };
            write!(f, "{between}{name}")?;
            value.as_ref().map_or(Ok(()), |value| write!(f, "={value}"))?;
        }
        Ok(())
    }
}

/// H.265 has the most: about thirty.
const MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_found_whatever_the_blanks_and_the_case() {
        let read = Parameters::parse("profile-level-id=42E01F; Packetization-Mode=1;sprop-parameter-sets=Z0I=,aM4=;");
        assert_eq!(read.value("PROFILE-LEVEL-ID"), Some("42E01F"));
        assert_eq!(read.number::<u8>("packetization-mode"), Some(1));
        assert_eq!(read.value("sprop-parameter-sets"), Some("Z0I=,aM4="));
        assert_eq!(read.bare(), None);
        let text = "profile-level-id=42E01F;Packetization-Mode=1;sprop-parameter-sets=Z0I=,aM4=";
        assert_eq!(read.to_string(), text);
        assert_eq!(Parameters::parse("0-15").bare(), Some("0-15"));
    }

    #[test]
    fn a_parameter_is_set_in_its_place() {
        let set = Parameters::parse("a=1;b=2").with("A", "3").with("c", "4").with("d", "5;e=6");
        assert_eq!(set.to_string(), "a=3;b=2;c=4");
    }
}
