//! Sound: one frame in one packet. How long it is, is written in the first byte of Opus, and is the size of the others.

use std::time::Duration;

use super::Codec;

/// How long a payload sounds; nothing if it is no payload of this codec, or of pictures.
pub fn duration(codec: Codec, payload: &[u8]) -> Option<Duration> {
    match codec {
        Codec::Opus => opus_duration(payload),
        // Eight thousand bytes a second, G.722 too.
        Codec::Pcmu | Codec::Pcma | Codec::G722 => {
            Some(Duration::from_micros(125 * u64::try_from(payload.len()).ok()?))
        }
        Codec::Vp8 | Codec::Vp9 | Codec::H264 | Codec::Av1 => None,
    }
}

/// RFC 6716 §3.1: what the first byte says of a frame, times the number of frames. More than 120 ms are not Opus (§3.4).
fn opus_duration(payload: &[u8]) -> Option<Duration> {
    let (&toc, rest) = payload.split_first()?;
    let config = toc >> 3;
    let micros = match config {
        // SILK: 10, 20, 40, 60 ms.
        0..=11 => match config & 3 {
            0 => 10_000,
            1 => 20_000,
            2 => 40_000,
            _ => 60_000,
        },
        // Hybrid: 10, 20 ms.
        12..=15 => 10_000 << (config & 1),
        // CELT: 2.5, 5, 10, 20 ms.
        _ => 2_500 << (config & 3),
    };
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u64::from(rest.first()? & 0x3f),
    };
    let all = micros * frames;
    (1..=120_000).contains(&all).then(|| Duration::from_micros(all))
}

/// Whether an Opus packet is in stereo (RFC 6716 §3.1).
pub fn is_stereo(payload: &[u8]) -> bool {
    payload.first().is_some_and(|toc| toc & 4 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opus_says_how_long_it_is() {
        let micros = |payload: &[u8]| opus_duration(payload).map(|duration| duration.as_micros());
        assert_eq!(micros(&[31 << 3]), Some(20_000), "CELT, full band");
        assert_eq!(micros(&[28 << 3 | 1]), Some(5_000), "two of 2.5 ms");
        assert_eq!(micros(&[3 << 3 | 2]), Some(120_000), "two of 60 ms");
        assert_eq!(micros(&[13 << 3]), Some(20_000), "hybrid");
        assert_eq!(micros(&[1 << 3 | 3, 3]), Some(60_000), "three of 20 ms");
        assert_eq!(
            (micros(&[1 << 3 | 3, 7]), micros(&[1 << 3 | 3, 0]), micros(&[3]), micros(&[])),
            (None, None, None, None)
        );
        assert!(is_stereo(&[0xfc]) && !is_stereo(&[0xf8]));
    }

    #[test]
    fn the_others_are_as_long_as_they_are_large() {
        assert_eq!(duration(Codec::Pcmu, &[0; 160]), Some(Duration::from_millis(20)));
        assert_eq!(duration(Codec::G722, &[0; 80]), Some(Duration::from_millis(10)));
        assert_eq!(duration(Codec::Vp8, &[0; 80]), None);
    }
}
