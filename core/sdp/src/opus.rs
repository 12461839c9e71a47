//! What one end may send the other in Opus. Each says in `a=fmtp` what it likes to *receive*, RFC 7587 §6.1 and §7.1.

use crate::parameters::Parameters;

/// What a receiver of Opus likes, or a sender is able to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opus {
    /// Hz: more would be thrown away.
    pub max_playback_rate: u32,
    /// Bits per second; whatever is best, if none.
    pub max_average_bitrate: Option<u32>,
    /// Both channels.
    pub stereo: bool,
    /// Redundancy for the packet before.
    pub in_band_fec: bool,
    /// Nothing while nobody speaks.
    pub discontinuous: bool,
    /// Packets of one size.
    pub constant_bitrate: bool,
}

impl Opus {
    /// What these parameters say, with the defaults of RFC 7587 §6.1.
    pub fn read(parameters: &Parameters) -> Self {
        let rate = parameters.number("maxplaybackrate").unwrap_or(48_000_u32);
        let bitrate = parameters.number("maxaveragebitrate").map(|rate: u32| rate.clamp(6_000, 510_000));
        Self {
            max_playback_rate: rate.clamp(8_000, 48_000),
            max_average_bitrate: bitrate,
            stereo: parameters.flag("stereo"),
            in_band_fec: parameters.flag("useinbandfec"),
            discontinuous: parameters.flag("usedtx"),
            constant_bitrate: parameters.flag("cbr"),
        }
    }

    /// What a sender who is able to do `self` sends to somebody who likes `theirs`.
    #[must_use]
    pub fn towards(self, theirs: Self) -> Self {
        let lower = |a: Option<u32>, b: Option<u32>| a.into_iter().chain(b).min();
        Self {
            max_playback_rate: self.max_playback_rate.min(theirs.max_playback_rate),
            max_average_bitrate: lower(self.max_average_bitrate, theirs.max_average_bitrate),
            stereo: self.stereo && theirs.stereo,
            in_band_fec: self.in_band_fec && theirs.in_band_fec,
            discontinuous: self.discontinuous && theirs.discontinuous,
            // A constant bitrate protects what is said from being guessed (RFC 6562): who asks for it gets it.
            constant_bitrate: self.constant_bitrate || theirs.constant_bitrate,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_keeps_to_what_the_receiver_likes() {
        let able = Opus::read(&Parameters::parse("stereo=1;useinbandfec=1;usedtx=1;maxaveragebitrate=64000"));
        let phone =
            Opus::read(&Parameters::parse("maxplaybackrate=16000; maxaveragebitrate=20000; useinbandfec=1; cbr=1"));
        let sent = able.towards(phone);
        assert_eq!((sent.max_playback_rate, sent.max_average_bitrate), (16_000, Some(20_000)));
        assert!(!sent.stereo && sent.in_band_fec && !sent.discontinuous && sent.constant_bitrate);
    }

    #[test]
    fn bounds_are_those_of_the_codec() {
        let odd = Opus::read(&Parameters::parse("maxplaybackrate=1;maxaveragebitrate=4294967295"));
        assert_eq!((odd.max_playback_rate, odd.max_average_bitrate), (8_000, Some(510_000)));
    }
}
