//! Claims from JSON. A claim of the wrong kind is named; claims that are none of ours are passed over.

use serde_json::{Map, Value};

use super::claims::{Claims, Kind, Video};
use super::excerpt;

/// A JSON object, and where it stands.
struct Object<'a> {
    at: &'static str,
    map: &'a Map<String, Value>,
}

/// From the payload of a token.
pub(super) fn claims(payload: &Map<String, Value>) -> Result<Claims, String> {
    let all = Object { at: "", map: payload };
    let video = match all.get("video") {
        None => None,
        Some(Value::Object(map)) => Some(video(&Object { at: "video.", map })?),
        Some(other) => return Err(all.wrong("video", "an object", other)),
    };
    let no_end = || "the token has no `exp`, until when it is good".to_owned();
    Ok(Claims {
        iss: all.text("iss")?.unwrap_or_default(),
        sub: all.text("sub")?,
        name: all.text("name")?,
        exp: all.seconds("exp")?.ok_or_else(no_end)?,
        nbf: all.seconds("nbf")?,
        metadata: all.text("metadata")?,
        video,
        sha256: all.text("sha256")?,
    })
}

fn video(of: &Object<'_>) -> Result<Video, String> {
    let flag = |name| of.flag(name).map(|flag| flag.unwrap_or(false));
    Ok(Video {
        room: of.text("room")?,
        room_join: flag("roomJoin")?,
        room_admin: flag("roomAdmin")?,
        room_create: flag("roomCreate")?,
        room_list: flag("roomList")?,
        can_publish: of.flag("canPublish")?,
        can_publish_sources: of.kinds("canPublishSources")?,
        can_subscribe: of.flag("canSubscribe")?,
        can_publish_data: of.flag("canPublishData")?,
        hidden: flag("hidden")?,
        recorder: flag("recorder")?,
    })
}

impl Object<'_> {
    fn get(&self, name: &str) -> Option<&Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    fn text(&self, name: &str) -> Result<Option<String>, String> {
        let text = |value: &Value| value.as_str().map(str::to_owned).ok_or_else(|| self.wrong(name, "a text", value));
        self.get(name).map(text).transpose()
    }

    fn flag(&self, name: &str) -> Result<Option<bool>, String> {
        let flag = |value: &Value| value.as_bool().ok_or_else(|| self.wrong(name, "`true` or `false`", value));
        self.get(name).map(flag).transpose()
    }

    /// RFC 7519 §2, NumericDate: it may have a fraction.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "of a number that was looked at")]
    fn seconds(&self, name: &str) -> Result<Option<u64>, String> {
        let Some(value) = self.get(name) else { return Ok(None) };
        match value.as_f64() {
            Some(seconds) if (0.0..1e15).contains(&seconds) => Ok(Some(seconds as u64)),
            _ => Err(self.wrong(name, "seconds since 1970", value)),
        }
    }

    fn kinds(&self, name: &str) -> Result<Vec<Kind>, String> {
        let expected = "a list of `microphone`, `camera`, `screen_share` and `screen_share_audio`";
        let Some(value) = self.get(name) else { return Ok(Vec::new()) };
        let kind = |value: &Value| value.as_str().and_then(Kind::parse);
        let kinds = value.as_array().map(|list| list.iter().map(kind).collect::<Option<Vec<_>>>());
        kinds.flatten().ok_or_else(|| self.wrong(name, expected, value))
    }

    fn wrong(&self, name: &str, expected: &str, got: &Value) -> String {
        format!("the token's `{}{name}`: expected {expected}, got {}", self.at, excerpt(&got.to_string()))
    }
}
