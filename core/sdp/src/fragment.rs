//! Candidates that trickle, `application/trickle-ice-sdpfrag` of RFC 8840 §9: what WHIP and WHEP send in a PATCH, and what
//! restarts ICE there.

use crate::attribute::Attribute;
use crate::candidate::Candidate;
use crate::group::Mid;
use crate::malformed::Malformed;
use crate::parse::{Limits, parse_within};
use crate::section::Credentials;

/// A fragment of a description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// Of whom; new ones restart ICE.
    pub credentials: Option<Credentials>,
    /// Candidates of each m-line.
    pub lines: Vec<FragmentLine>,
}

/// What trickles at one m-line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FragmentLine {
    /// Which, if it says so.
    pub mid: Option<Mid>,
    /// What was found.
    pub candidates: Vec<Candidate>,
    /// No more will be.
    pub is_complete: bool,
}

impl Fragment {
    /// Reads one: a description without its head.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        // The head that RFC 8840 §9 leaves out takes two lines; numbers of lines are those of the fragment.
        let whole = format!("{HEAD}{text}");
        let session = parse_within(&whole, &Limits::default()).map_err(without_head)?;
        let lines = session.sections().map(|section| FragmentLine {
            mid: section.mid().cloned(),
            candidates: section.candidates().cloned().collect(),
            is_complete: section.has_all_candidates(),
        });
        let credentials = Credentials::of(&session.attributes);
        let credentials = credentials.or_else(|| session.sections().find_map(|section| section.credentials()));
        Ok(Self { credentials, lines: lines.collect() })
    }

    /// Whether a text looks like a fragment rather than a description.
    pub fn is_fragment(text: &str) -> bool {
        !text.starts_with("v=")
    }
}

impl std::fmt::Display for Fragment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(Credentials { ufrag, pwd }) = &self.credentials {
            let (ufrag, pwd) = (Attribute::IceUfrag(ufrag.clone()), Attribute::IcePwd(pwd.clone()));
            write!(f, "a={ufrag}\r\na={pwd}\r\n")?;
        }
        for line in &self.lines {
            // RFC 8840 §9: the m-line is there to separate, and what it says is not looked at.
            f.write_str("m=audio 9 UDP/TLS/RTP/SAVPF 0\r\n")?;
            line.mid.as_ref().map_or(Ok(()), |mid| write!(f, "a=mid:{mid}\r\n"))?;
            line.candidates.iter().try_for_each(|candidate| write!(f, "a={candidate}\r\n"))?;
            if line.is_complete {
                write!(f, "a={}\r\n", Attribute::EndOfCandidates)?;
            }
        }
        Ok(())
    }
}

fn without_head(error: Malformed) -> Malformed {
    let less = |line: usize| line.saturating_sub(2);
    match error {
        Malformed::Line { line, expected, got } => Malformed::Line { line: less(line), expected, got },
        Malformed::TooMany { line, most, what } => Malformed::TooMany { line: less(line), most, what },
        Malformed::Missing { expected } => Malformed::Missing { expected },
    }
}

const HEAD: &str = "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fragment_is_read_and_written() {
        // RFC 9725 §4.3.1, the PATCH of a trickled candidate.
        let text = "a=group:BUNDLE 0 1\r\na=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n\
            m=audio 9 RTP/AVP 0\r\na=mid:0\r\n\
            a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw network-id 1\r\n\
            a=end-of-candidates\r\n";
        let read = Fragment::parse(text).expect("a fragment");
        assert_eq!(read.credentials.as_ref().map(|c| c.ufrag.as_str()), Some("EsAw"));
        let [line] = read.lines.as_slice() else { panic!("one line: {read:?}") };
        assert_eq!((line.mid.as_ref().map(Mid::as_str), line.candidates.len(), line.is_complete), (Some("0"), 1, true));
        assert_eq!(Fragment::parse(&read.to_string()), Ok(read));
        assert!(Fragment::is_fragment(text) && !Fragment::is_fragment("v=0\r\n"));
        let alone = Fragment::parse("a=ice-ufrag:EsAw\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\n").expect("a fragment");
        assert!(alone.credentials.is_some() && alone.lines.is_empty());
    }

    #[test]
    fn errors_count_the_lines_of_the_fragment() {
        let error = Fragment::parse("m=audio 9 RTP/AVP 0\r\na=mid\r\n").expect_err("no identity");
        assert!(error.to_string().starts_with("line 2: "), "{error}");
    }
}
