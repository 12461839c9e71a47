//! Text of a transport into a [`Hello`] or a [`ClientFrame`], or a clear refusal.
//!
//! Leaves the size of a frame to the transport, which must refuse it before it is all in memory. Depth is bounded here
//! (`serde_json` stops at 128 levels; what it does not read, [`Json`] measures).

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny, MapAccess, Visitor};

use serde_json::value::RawValue;

use super::{ClientFrame, Hello, Json, Note, Reason};

/// The first frame of a transport.
pub fn parse_hello(text: &str) -> Result<Hello, ParseError> {
    let kind = kind_of(text)?;
    if FRAMES.contains(&&*kind) {
        return Err(ParseError {
            reason: Reason::NotJoined,
            detail: format!("expected `join`, `resume` or `look` as the first message, got `{kind}`"),
        });
    }
    read(text, &kind, &HELLOS)
}

/// Any later frame.
pub fn parse_frame(text: &str) -> Result<ClientFrame, ParseError> {
    let kind = kind_of(text)?;
    if HELLOS.contains(&&*kind) {
        return Err(ParseError {
            reason: Reason::AlreadyJoined,
            detail: format!("got `{kind}` on a connection that is already in a room"),
        });
    }
    match &*kind {
        "message" => read_message(text),
        kind => read(text, kind, &FRAMES),
    }
}

/// Why a frame was not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct ParseError {
    /// For programs.
    pub reason: Reason,
    /// For people: what was expected, what came, and where. Bounded, and free of control characters.
    pub detail: String,
}

impl ParseError {
    /// As it is told to the client.
    pub fn into_note(self, fatal: bool) -> Note {
        Note::Refused { reason: self.reason, detail: self.detail, fatal }
    }
}

/// An application's message is not read but passed on as it is; and most frames of a busy room are such.
fn read_message(text: &str) -> Result<ClientFrame, ParseError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Message<'a> {
        #[serde(rename = "type")]
        _kind: IgnoredAny,
        id: u64,
        #[serde(default)]
        to: Option<String>,
        #[serde(borrow)]
        data: &'a RawValue,
    }
    let in_message = |error: &dyn std::fmt::Display| malformed(&format!("in `message`: {error}"));
    let Message { id, to, data, .. } = serde_json::from_str(text).map_err(|error| in_message(&error))?;
    let data = Json::new(data).map_err(|error| in_message(&error))?;
    Ok(ClientFrame::Message { id, to, data })
}

fn read<T: DeserializeOwned>(text: &str, kind: &str, known: &[&str]) -> Result<T, ParseError> {
    if !known.contains(&kind) {
        let detail = format!("expected a message of type {}, got `{}`", known.join(", "), printable(kind, 40));
        return Err(ParseError { reason: Reason::UnknownType, detail });
    }
    serde_json::from_str(text).map_err(|error| malformed(&format!("in `{kind}`: {error}")))
}

/// The `type` of an object, whatever else stands in it.
fn kind_of(text: &str) -> Result<Cow<'_, str>, ParseError> {
    let Kind(kind) = serde_json::from_str(text)
        .map_err(|error| malformed(&format!("expected a JSON object with a `type`: {error}")))?;
    Ok(kind)
}

fn malformed(detail: &str) -> ParseError {
    ParseError { reason: Reason::Malformed, detail: printable(detail, DETAIL_CHARS) }
}

/// Hostile text is quoted in refusals: cut, and made harmless for logs and terminals.
fn printable(text: &str, chars: usize) -> String {
    let mut out: String = text.chars().take(chars).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if text.chars().nth(chars).is_some() {
        out.push('…');
    }
    out
}

struct Kind<'a>(Cow<'a, str>);

/// Text that is borrowed where it has no escapes.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for Kind<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(KindVisitor)
    }
}

struct KindVisitor;

impl<'de> Visitor<'de> for KindVisitor {
    type Value = Kind<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut kind = None;
        while let Some(Text(key)) = map.next_key()? {
            if key != "type" {
                map.next_value::<IgnoredAny>()?;
            } else if kind.replace(map.next_value::<Text<'de>>()?.0).is_some() {
                return Err(serde::de::Error::duplicate_field("type"));
            }
        }
        kind.map(Kind).ok_or_else(|| serde::de::Error::missing_field("type"))
    }
}

const DETAIL_CHARS: usize = 300;
const HELLOS: [&str; 3] = ["join", "resume", "look"];
const FRAMES: [&str; 31] = [
    "ack",
    "ping",
    "leave",
    "offer",
    "answer",
    "candidate",
    "message",
    "chat",
    "media",
    "rename",
    "path",
    "ice_servers",
    "accept",
    "decline",
    "lock",
    "remove",
    "hand_over",
    "end",
    "media_offer",
    "watch",
    "media_close",
    "hand",
    "mute",
    "lower_hand",
    "topology",
    "permit",
    "newcomers",
    "breakout_open",
    "breakout_close",
    "move",
    "caption",
];

#[cfg(test)]
mod tests {
    use super::super::{Entry, Join, Look, Media, Resume};
    use super::*;

    #[test]
    fn a_join_may_leave_out_what_has_a_default() {
        let hello = parse_hello(r#"{"type":"join","room":"tovu","name":"Ann"}"#).unwrap();
        let join = Join {
            room: "tovu".into(),
            name: "Ann".into(),
            hide_address: false,
            media: Media::default(),
            entry: Entry::Open,
            encrypted: false,
            token: None,
        };
        assert_eq!(hello, Hello::Join(join));
    }

    #[test]
    fn a_resume_of_a_reloaded_page_may_say_null_or_nothing() {
        let expected = Hello::Resume(Resume { token: "t".into(), last: None, media: Media::default() });
        assert_eq!(parse_hello(r#"{"type":"resume","token":"t"}"#).unwrap(), expected);
        assert_eq!(parse_hello(r#"{"type":"resume","token":"t","last":null}"#).unwrap(), expected);
    }

    #[test]
    fn a_look_names_a_room_and_nothing_else() {
        let look = Hello::Look(Look { room: "tovu".into() });
        assert_eq!(parse_hello(r#"{"type":"look","room":"tovu"}"#).unwrap(), look);
        let error = parse_hello(r#"{"type":"look","room":"tovu","name":"Ann"}"#).unwrap_err();
        assert!(error.detail.contains("unknown field `name`"), "{error}");
    }

    #[test]
    fn every_frame_survives_being_printed_and_read() {
        let frames = [
            r#"{"type":"ack","n":7}"#,
            r#"{"type":"ping"}"#,
            r#"{"type":"leave","id":1}"#,
            r#"{"type":"offer","id":1,"to":"p2","epoch":1,"sdp":"v=0"}"#,
            r#"{"type":"answer","id":1,"to":"p2","epoch":1,"sdp":"v=0"}"#,
            r#"{"type":"candidate","id":1,"to":"p2","epoch":1,"candidate":{"candidate":"","sdpMid":"0","sdpMLineIndex":0,"usernameFragment":null}}"#,
            r#"{"type":"message","id":1,"data":[1,{"a":null}]}"#,
            r#"{"type":"chat","id":1,"text":"hello"}"#,
            r#"{"type":"media","id":1,"media":{"audio":true}}"#,
            r#"{"type":"rename","id":1,"name":"Bo"}"#,
            r#"{"type":"path","id":1,"peer":"p2","path":"relay"}"#,
            r#"{"type":"ice_servers","id":1}"#,
            r#"{"type":"accept","id":1,"participant":"p2"}"#,
            r#"{"type":"decline","id":1,"participant":"p2"}"#,
            r#"{"type":"lock","id":1,"locked":true}"#,
            r#"{"type":"remove","id":1,"participant":"p2"}"#,
            r#"{"type":"hand_over","id":1,"to":"p2"}"#,
            r#"{"type":"end","id":1}"#,
            r#"{"type":"media_offer","id":1,"sdp":"v=0","sends":[{"mid":"0","source":"screen_audio"}]}"#,
            r#"{"type":"watch","id":1,"slots":[{"mid":"3","track":"t5","height":360,"priority":1},{"mid":"4"}]}"#,
            r#"{"type":"media_close","id":1}"#,
            r#"{"type":"hand","id":1,"raised":true}"#,
            r#"{"type":"mute","id":1,"participant":"p2","source":"microphone"}"#,
            r#"{"type":"lower_hand","id":1,"participant":"p2"}"#,
            r#"{"type":"topology","id":1,"sfu":true}"#,
            r#"{"type":"permit","id":1,"participant":"p2","may":{"publish":{"audio":true},"subscribe":true,"data":false,"admin":false}}"#,
            r#"{"type":"newcomers","id":1,"watch_only":true}"#,
            r#"{"type":"breakout_open","id":1,"rooms":3,"assign":true}"#,
            r#"{"type":"breakout_close","id":1}"#,
            r#"{"type":"move","id":1,"participant":"p2","from":"tovu-1","to":"tovu-2"}"#,
            r#"{"type":"caption","id":1,"line":4,"text":"hello wor","done":false,"language":"en-GB"}"#,
        ];
        assert_eq!(frames.len(), FRAMES.len());
        for text in frames {
            let frame = parse_frame(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            let printed = serde_json::to_string(&frame).unwrap();
            assert_eq!(parse_frame(&printed).unwrap(), frame, "{printed}");
        }
    }

    #[test]
    fn what_is_refused_says_by_which_name_and_where() {
        let cases = [
            ("", Reason::Malformed, "EOF"),
            ("[]", Reason::Malformed, "expected a JSON object"),
            (r#"{"id":1}"#, Reason::Malformed, "missing field `type`"),
            (r#"{"type":1}"#, Reason::Malformed, "expected a string"),
            (r#"{"type":"ack","type":"ack","n":1}"#, Reason::Malformed, "duplicate field `type`"),
            (r#"{"type":"shout"}"#, Reason::UnknownType, "got `shout`"),
            (r#"{"type":"join","room":"a","name":"b"}"#, Reason::AlreadyJoined, "got `join`"),
            (r#"{"type":"offer","id":1,"to":"p2","epoch":1}"#, Reason::Malformed, "in `offer`: missing field `sdp`"),
            (r#"{"type":"lock","id":1,"locked":"yes"}"#, Reason::Malformed, "in `lock`: invalid type: string"),
            (r#"{"type":"end","id":-1}"#, Reason::Malformed, "in `end`: invalid value"),
            (r#"{"type":"end","id":1,"hidden":true}"#, Reason::Malformed, "unknown field `hidden`"),
            (r#"{"type":"end","id":1} x"#, Reason::Malformed, "trailing characters"),
        ];
        for (text, reason, detail) in cases {
            let error = parse_frame(text).unwrap_err();
            assert_eq!(error.reason, reason, "{text}: {error}");
            assert!(error.detail.contains(detail), "{text}: {error}");
        }
        assert_eq!(parse_hello(r#"{"type":"end","id":1}"#).unwrap_err().reason, Reason::NotJoined);
    }

    #[test]
    fn a_very_deep_message_is_refused_and_not_followed() {
        let deep = format!(r#"{{"type":"message","id":1,"data":{}{}}}"#, "[".repeat(50_000), "]".repeat(50_000));
        assert_eq!(parse_frame(&deep).unwrap_err().reason, Reason::Malformed);
    }

    #[test]
    fn hostile_text_is_quoted_short_and_without_control_characters() {
        let error = parse_frame(&format!(r#"{{"type":"\u001b[2J{}"}}"#, "x".repeat(10_000))).unwrap_err();
        assert!(error.detail.chars().count() < 400, "{}", error.detail.len());
        assert!(!error.detail.contains('\u{1b}'));
    }
}
