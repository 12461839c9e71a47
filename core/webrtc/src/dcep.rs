//! The messages that open a data channel, RFC 8832 §5.

use crate::channels::Reliability;

/// What one of them says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Dcep {
    /// DATA_CHANNEL_OPEN, §5.1.
    Open { label: String, protocol: String, ordered: bool, reliability: Reliability },
    /// DATA_CHANNEL_ACK, §5.2.
    Ack,
}

/// Bytes that are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

impl Dcep {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Malformed> {
        let (kind, rest) = bytes.split_first().ok_or(Malformed)?;
        match *kind {
            ACK => Ok(Self::Ack),
            OPEN => {
                let (header, rest) = rest.split_first_chunk::<11>().ok_or(Malformed)?;
                let [channel, _, _, a, b, c, d, l0, l1, p0, p1] = *header;
                let parameter = u32::from_be_bytes([a, b, c, d]);
                let label = usize::from(u16::from_be_bytes([l0, l1]));
                let protocol = usize::from(u16::from_be_bytes([p0, p1]));
                if rest.len() != label + protocol {
                    return Err(Malformed);
                }
                let (label, protocol) = rest.split_at_checked(label).ok_or(Malformed)?;
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| Malformed);
                let reliability = match channel & !UNORDERED {
                    RELIABLE => Reliability::Reliable,
                    REXMIT => Reliability::Retransmits(u16::try_from(parameter).unwrap_or(u16::MAX)),
                    TIMED => Reliability::Lifetime(u16::try_from(parameter).unwrap_or(u16::MAX)),
                    _ => return Err(Malformed),
                };
                let ordered = channel & UNORDERED == 0;
                Ok(Self::Open { label: text(label)?, protocol: text(protocol)?, ordered, reliability })
            }
            _ => Err(Malformed),
        }
    }

    /// Labels and protocols longer than 65,535 bytes are cut off.
    pub(crate) fn write(&self) -> Vec<u8> {
        let Self::Open { label, protocol, ordered, reliability } = self else { return vec![ACK] };
        let (kind, parameter) = match *reliability {
            Reliability::Reliable => (RELIABLE, 0),
            Reliability::Retransmits(most) => (REXMIT, u32::from(most)),
            Reliability::Lifetime(most) => (TIMED, u32::from(most)),
        };
        let kind = if *ordered { kind } else { kind | UNORDERED };
        let [label, protocol] = [label, protocol].map(|text| &text.as_bytes()[..text.len().min(usize::from(u16::MAX))]);
        let mut out = vec![OPEN, kind, 0, 0];
        out.extend_from_slice(&parameter.to_be_bytes());
        for part in [label, protocol] {
            out.extend_from_slice(&u16::try_from(part.len()).unwrap_or(u16::MAX).to_be_bytes());
        }
        out.extend_from_slice(label);
        out.extend_from_slice(protocol);
        out
    }
}

const ACK: u8 = 0x02;
const OPEN: u8 = 0x03;
/// Channel types, §5.1; the high bit says that order does not matter.
const RELIABLE: u8 = 0x00;
const REXMIT: u8 = 0x01;
const TIMED: u8 = 0x02;
const UNORDERED: u8 = 0x80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for reliability in [Reliability::Reliable, Reliability::Retransmits(3), Reliability::Lifetime(250)] {
            for ordered in [true, false] {
                let open = Dcep::Open { label: "chat ✓".into(), protocol: "p".into(), ordered, reliability };
                assert_eq!(Dcep::parse(&open.write()), Ok(open));
            }
        }
        assert_eq!(Dcep::parse(&Dcep::Ack.write()), Ok(Dcep::Ack));
    }

    #[test]
    fn an_open_of_a_browser_is_read() {
        let bytes = [3, 0, 1, 0, 0, 0, 0, 0, 0, 2, 0, 0, b'h', b'i'];
        let open = Dcep::Open {
            label: "hi".into(),
            protocol: String::new(),
            ordered: true,
            reliability: Reliability::Reliable,
        };
        assert_eq!(Dcep::parse(&bytes), Ok(open));
    }

    #[test]
    fn lengths_that_lie_and_types_that_are_none_are_refused() {
        let good = [3, 0, 1, 0, 0, 0, 0, 0, 0, 2, 0, 0, b'h', b'i'];
        for end in 0..good.len() {
            assert_eq!(Dcep::parse(&good[..end]), Err(Malformed), "{end}");
        }
        for (at, value) in [(0, 7), (1, 9), (9, 3), (11, 1), (12, 0xff)] {
            let mut bad = good;
            bad[at] = value;
            assert_eq!(Dcep::parse(&bad), Err(Malformed), "{at}");
        }
    }
}
