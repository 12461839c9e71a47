//! Writes descriptions: lines in the order of RFC 8866 §5, each ended by CRLF.

use std::fmt::{Display, Formatter, Result};

use crate::session::{Bandwidth, Kind, Media, Origin, Protocol, Session, Time};

impl Display for Session {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "v=0\r\no={}\r\ns={}\r\n", self.origin, self.name)?;
        self.notes.iter().try_for_each(|(note, text)| write!(f, "{}={text}\r\n", note.letter()))?;
        lines(f, "c", self.connection.as_ref())?;
        lines(f, "b", &self.bandwidths)?;
        self.times.iter().try_for_each(|time| time.fmt(f))?;
        lines(f, "z", self.zones.as_ref())?;
        lines(f, "a", &self.attributes)?;
        self.media.iter().try_for_each(|media| media.fmt(f))
    }
}

impl Display for Origin {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{} {} {} {}", self.user, self.id, self.version, self.address)
    }
}

impl Display for Bandwidth {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{}:{}", self.kind, self.value)
    }
}

impl Display for Time {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "t={} {}\r\n", self.start, self.stop)?;
        lines(f, "r", &self.repeats)
    }
}

impl Display for Media {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "m={} {}", self.kind, self.port)?;
        self.ports.map_or(Ok(()), |ports| write!(f, "/{ports}"))?;
        write!(f, " {}", self.protocol)?;
        self.formats.iter().try_for_each(|format| write!(f, " {format}"))?;
        f.write_str("\r\n")?;
        lines(f, "i", self.title.as_ref())?;
        lines(f, "c", &self.connections)?;
        lines(f, "b", &self.bandwidths)?;
        lines(f, "a", &self.attributes)
    }
}

impl Display for Kind {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(self.name())
    }
}

impl Display for Protocol {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(self.name())
    }
}

fn lines<T: Display>(f: &mut Formatter<'_>, letter: &str, values: impl IntoIterator<Item = T>) -> Result {
    values.into_iter().try_for_each(|value| write!(f, "{letter}={value}\r\n"))
}
