//! Whether two formats are the same codec, and which parameters an answer has. Most parameters say what the receiver likes and
//! need no agreement; those that change what the bytes mean must be equal.

use crate::codec::{Codec, Format};
use crate::h264::ProfileLevel;
use crate::parameters::Parameters;

/// Whether what one sends as `a` the other understands as `b`.
pub(crate) fn same(a: &Format, b: &Format) -> bool {
    let alike = a.name.as_str().eq_ignore_ascii_case(b.name.as_str()) && a.clock == b.clock && a.channels == b.channels;
    alike && (!a.name.is("H264") || same_h264(&a.parameters, &b.parameters)) && same_identity(a, b)
}

fn same_identity(a: &Format, b: &Format) -> bool {
    let (_, names) = IDENTITY.iter().find(|(name, _)| a.name.is(name)).unwrap_or(&("", &[]));
    names.iter().all(|(name, default)| {
        let value = |format: &Format| format.parameters.value(name).unwrap_or(default).to_ascii_lowercase();
        value(a) == value(b)
    })
}

/// RFC 6184 §8.2.2: profile and packetization mode are symmetric, the level is not part of it.
fn same_h264(a: &Parameters, b: &Parameters) -> bool {
    let profiles = ProfileLevel::of(a).zip(ProfileLevel::of(b));
    let mode = |parameters: &Parameters| parameters.number::<u8>("packetization-mode").unwrap_or(0);
    profiles.is_some_and(|(a, b)| a.common(b).is_some()) && mode(a) == mode(b)
}

/// The retransmissions of a codec: `apt` names what is sent again (RFC 4588 §8.6).
pub(crate) fn rtx_of<'a>(codecs: &'a [Codec], codec: &Codec) -> Option<&'a Codec> {
    let again = |other: &&Codec| {
        let apt = other.format.parameters.number("apt");
        other.format.is_rtx() && other.format.clock == codec.format.clock && apt == Some(codec.number)
    };
    codecs.iter().find(again)
}

/// The parameters of our answer to `offered`, where our own are those of `ours`.
pub(crate) fn answer(offered: &Format, ours: &Format) -> Parameters {
    let (theirs, mine) = (&offered.parameters, &ours.parameters);
    let name = |name: &str| ours.name.is(name);
    if name("H264") {
        answer_h264(theirs, mine)
    } else if name("H265") {
        lower(theirs, mine, "level-id", 93)
    } else if name("telephone-event") {
        Parameters::parse(&common_events(theirs.bare().unwrap_or(ALL_EVENTS), mine.bare().unwrap_or(ALL_EVENTS)))
    } else if name("G729") {
        // RFC 7261 §3.4: comfort noise of annex B if both have it.
        let refused =
            |parameters: &Parameters| parameters.value("annexb").is_some_and(|v| v.eq_ignore_ascii_case("no"));
        if refused(theirs) || refused(mine) { mine.clone().with("annexb", "no") } else { mine.clone() }
    } else if name("iLBC") {
        // RFC 3952 §5: 30 unless both say 20.
        let twenty = |parameters: &Parameters| parameters.number::<u8>("mode") == Some(20);
        mine.clone().with("mode", if twenty(theirs) && twenty(mine) { "20" } else { "30" })
    } else if name("red") || ECHOED.iter().any(|echoed| name(echoed)) {
        theirs.clone()
    } else {
        mine.clone()
    }
}

/// RFC 6184 §8.2.2: each its own level if both allow that, else the lower one for both.
fn answer_h264(theirs: &Parameters, mine: &Parameters) -> Parameters {
    let asymmetric = |parameters: &Parameters| parameters.flag("level-asymmetry-allowed");
    let (Some(offered), Some(own)) = (ProfileLevel::of(theirs), ProfileLevel::of(mine)) else { return mine.clone() };
    if asymmetric(theirs) && asymmetric(mine) {
        return mine.clone();
    }
    // The profile in the words of the offer: it may say the same with other flags.
    match own.common(offered) {
        Some(common) => mine.clone().with("profile-level-id", &common.to_string()),
        None => mine.clone(),
    }
}

fn lower(theirs: &Parameters, mine: &Parameters, name: &str, default: u16) -> Parameters {
    let value = |parameters: &Parameters| parameters.number::<u16>(name).unwrap_or(default);
    if mine.value(name).is_none() && theirs.value(name).is_none() {
        return mine.clone();
    }
    mine.clone().with(name, &value(theirs).min(value(mine)).to_string())
}

/// The events of both lists, RFC 4733 §2.4.1, as ranges.
fn common_events(a: &str, b: &str) -> String {
    let (a, b) = (events(a), events(b));
    let mut out = String::new();
    let mut at = 0_usize;
    while at < EVENTS {
        let both = |at: usize| a.get(at) == Some(&true) && b.get(at) == Some(&true);
        let end = (at..EVENTS).take_while(|at| both(*at)).last();
        if let Some(end) = end {
            let comma = if out.is_empty() { "" } else { "," };
            out += &if end == at { format!("{comma}{at}") } else { format!("{comma}{at}-{end}") };
        }
        at = end.unwrap_or(at).saturating_add(1);
    }
    out
}

fn events(text: &str) -> [bool; EVENTS] {
    let mut set = [false; EVENTS];
    for part in text.split(',').take(MAX_RANGES) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (crate::address::number(first.trim()), crate::address::number(last.trim()));
        if let (Some(first), Some(last)) = (first, last) {
            let last: usize = usize::min(last, EVENTS - 1);
            set.iter_mut().take(last + 1).skip(first).for_each(|event| *event = true);
        }
    }
    set
}

/// A parameter's name, and what it is where it is not said.
type Defaulted = (&'static str, &'static str);

/// What must be equal for two formats to be the same codec.
const IDENTITY: [(&str, &[Defaulted]); 6] = [
    // RFC 9628 §6.
    ("VP9", &[("profile-id", "0")]),
    // AV1 RTP payload specification §7.2.1: main profile, main tier.
    ("AV1", &[("profile", "0"), ("tier", "0")]),
    // RFC 7798 §7.1.
    ("H265", &[("profile-space", "0"), ("profile-id", "1"), ("tier-flag", "0"), ("tx-mode", "srst")]),
    // RFC 4867 §8.3.1.
    ("AMR", AMR),
    ("AMR-WB", AMR),
    // RFC 5577 §4.
    ("G7221", &[("bitrate", "")]),
];
const AMR: &[Defaulted] = &[("octet-align", "0"), ("crc", "0"), ("robust-sorting", "0"), ("interleaving", "")];
/// Whose answer repeats what was offered.
const ECHOED: [&str; 3] = ["AMR", "AMR-WB", "G7221"];
/// RFC 4733 §2.4.1: what every receiver has.
const ALL_EVENTS: &str = "0-15";
const EVENTS: usize = 256;
/// Honest lists have one or two.
const MAX_RANGES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn format(name: &str, parameters: &str) -> Format {
        let mut format = Format::new(name, 90_000, 1).expect("a format");
        format.parameters = Parameters::parse(parameters);
        format
    }

    fn answered(name: &str, offered: &str, ours: &str) -> String {
        answer(&format(name, offered), &format(name, ours)).to_string()
    }

    #[test]
    fn what_changes_the_bytes_must_be_equal() {
        for (name, a, b, expected) in [
            (
                "H264",
                "profile-level-id=42e01f;packetization-mode=1",
                "profile-level-id=42e034;packetization-mode=1",
                true,
            ),
            ("H264", "profile-level-id=42e01f;packetization-mode=1", "profile-level-id=42e01f", false),
            ("H264", "profile-level-id=42e01f", "profile-level-id=42001f", false),
            ("H264", "profile-level-id=42e01f", "profile-level-id=4de01f", true),
            ("H264", "profile-level-id=nonsense", "profile-level-id=nonsense", false),
            ("VP9", "", "profile-id=0", true),
            ("VP9", "profile-id=2", "profile-id=0", false),
            ("AV1", "level-idx=5;profile=0;tier=0", "", true),
            ("AV1", "profile=1", "", false),
            ("AV1", "tier=1", "", false),
            ("VP8", "max-fs=12288;max-fr=60", "", true),
            ("AMR", "octet-align=1", "", false),
        ] {
            assert_eq!(same(&format(name, a), &format(name, b)), expected, "{name} {a} and {b}");
        }
        assert!(same(&format("vp8", ""), &format("VP8", "")) && !same(&format("VP8", ""), &format("VP9", "")));
    }

    #[test]
    fn h264_answers_with_a_level_both_bear() {
        let high = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e034";
        assert_eq!(answered("H264", "profile-level-id=42e01f;level-asymmetry-allowed=1", high), high);
        let without = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f";
        assert_eq!(answered("H264", "profile-level-id=42e01f", high), without);
        assert_eq!(answered("H264", "profile-level-id=42e034", without), without);
    }

    #[test]
    fn events_are_those_of_both() {
        assert_eq!(answered("telephone-event", "0-16", "0-15"), "0-15");
        assert_eq!(answered("telephone-event", "", ""), "0-15");
        assert_eq!(answered("telephone-event", "0-11,16", "1,3,10-20"), "1,3,10-11,16");
        assert_eq!(answered("telephone-event", "9-1,300,x,5-999999", "0-7"), "5-7");
        assert_eq!(answered("telephone-event", "1", "2"), "");
    }

    #[test]
    fn old_speech_codecs_answer_as_their_rfcs_say() {
        assert_eq!(answered("G729", "annexb=no", ""), "annexb=no");
        assert_eq!(answered("G729", "", ""), "");
        assert_eq!(answered("iLBC", "mode=20", "mode=20"), "mode=20");
        assert_eq!(answered("iLBC", "", "mode=20"), "mode=30");
        assert_eq!(answered("H265", "level-id=93", "level-id=150"), "level-id=93");
    }
}
