//! What a token says, and what of it holds for entering a room.

use serde::{Serialize, Serializer};
use tandem_api::signal::{Media, Permissions};
use tandem_engine::Grants;

use super::excerpt;

/// The claims that count here. Others may stand beside them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Claims {
    /// Identity of the key.
    pub iss: String,
    /// Who it is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    /// What the others see.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Until when it is good, in seconds since 1970.
    pub exp: u64,
    /// From when on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nbf: Option<u64>,
    /// Whatever the third party keeps with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<String>,
    /// What it may do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub video: Option<Video>,
    /// Of the body it vouches for, in base64: webhooks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// The claim `video`. What is absent of `can…` is allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Video {
    /// The one room it is for; absent or empty: any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room: Option<String>,
    /// It may enter.
    #[serde(skip_serializing_if = "is_off")]
    pub room_join: bool,
    /// It may do in that room what the host may, and what the API can.
    #[serde(skip_serializing_if = "is_off")]
    pub room_admin: bool,
    /// It may make rooms, and delete them.
    #[serde(skip_serializing_if = "is_off")]
    pub room_create: bool,
    /// It may list rooms.
    #[serde(skip_serializing_if = "is_off")]
    pub room_list: bool,
    /// It may send media.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_publish: Option<bool>,
    /// Only of these kinds; empty: of all.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "as_words")]
    pub can_publish_sources: Vec<Kind>,
    /// It gets what the others send.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_subscribe: Option<bool>,
    /// It may chat, and its application may say something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_publish_data: Option<bool>,
    /// The others would not see it: not here.
    #[serde(skip_serializing_if = "is_off")]
    pub hidden: bool,
    /// The same.
    #[serde(skip_serializing_if = "is_off")]
    pub recorder: bool,
}

/// What media shows or lets hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `microphone`
    Microphone,
    /// `camera`
    Camera,
    /// `screen_share`
    Screen,
    /// `screen_share_audio`, which goes with the picture.
    ScreenAudio,
}

impl Kind {
    const WORDS: [(Kind, &'static str); 4] = [
        (Kind::Microphone, "microphone"),
        (Kind::Camera, "camera"),
        (Kind::Screen, "screen_share"),
        (Kind::ScreenAudio, "screen_share_audio"),
    ];

    pub(super) fn parse(word: &str) -> Option<Kind> {
        Self::WORDS.iter().find(|(_, known)| *known == word).map(|(kind, _)| *kind)
    }

    fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(kind, _)| *kind == self).map_or("", |(_, word)| word)
    }
}

impl Claims {
    /// What whoever brings it gets in a room. Otherwise a sentence says why it does not enter.
    pub fn grants(&self) -> Result<Grants, String> {
        let Some(video) = self.video.as_ref().filter(|video| video.room_join) else {
            return Err("the token does not let you enter a room: expected `roomJoin: true` in its `video`".into());
        };
        if video.hidden || video.recorder {
            let which = if video.hidden { "hidden" } else { "recorder" };
            return Err(format!("the token says `video.{which}`: here everyone in a room is seen by the others"));
        }
        Ok(Grants {
            room: video.room.clone().filter(|room| !room.is_empty()),
            identity: Some(self.identity()?.to_owned()),
            name: self.name.clone().filter(|name| !name.is_empty()),
            metadata: self.metadata()?.map(str::to_owned),
            may: video.permissions(),
        })
    }

    fn identity(&self) -> Result<&str, String> {
        let identity = self.sub.as_deref().unwrap_or_default();
        let count = identity.chars().count();
        if (1..=MOST_IDENTITY).contains(&count) && !identity.chars().any(char::is_control) {
            return Ok(identity);
        }
        let expected = format!("the token's `sub`, whom it is for: expected 1 to {MOST_IDENTITY} printable characters");
        Err(if count == 0 { expected } else { format!("{expected}, got `{}` ({count})", excerpt(identity)) })
    }

    fn metadata(&self) -> Result<Option<&str>, String> {
        let metadata = self.metadata.as_deref().filter(|metadata| !metadata.is_empty());
        match metadata.map_or(0, str::len) {
            got if got > MOST_METADATA => {
                Err(format!("the token's `metadata`: expected at most {MOST_METADATA} bytes, got {got}"))
            }
            _ => Ok(metadata),
        }
    }
}

impl Video {
    /// What it may do in a room.
    pub fn permissions(&self) -> Permissions {
        Permissions {
            publish: self.publish(),
            subscribe: self.can_subscribe.unwrap_or(true),
            data: self.can_publish_data.unwrap_or(true),
            admin: self.room_admin,
        }
    }

    fn publish(&self) -> Media {
        let any = self.can_publish.unwrap_or(true);
        let may = |kind| any && (self.can_publish_sources.is_empty() || self.can_publish_sources.contains(&kind));
        Media { audio: may(Kind::Microphone), video: may(Kind::Camera), screen: may(Kind::Screen) }
    }

    /// It is for this very room.
    pub fn is_for(&self, room: &str) -> bool {
        !room.is_empty() && self.room.as_deref() == Some(room)
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_off(flag: &bool) -> bool {
    !flag
}

fn as_words<S: Serializer>(kinds: &[Kind], out: S) -> Result<S::Ok, S::Error> {
    out.collect_seq(kinds.iter().map(|kind| kind.word()))
}

/// Characters.
const MOST_IDENTITY: usize = 128;
/// Bytes.
const MOST_METADATA: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(video: Video) -> Claims {
        Claims { sub: Some("ann".into()), video: Some(Video { room_join: true, ..video }), ..Claims::default() }
    }

    #[test]
    fn what_is_absent_is_allowed_and_what_is_listed_is_all() {
        let may = |video| claims(video).grants().expect("grants").may;
        assert_eq!(may(Video::default()), Permissions::USUAL);
        let some = vec![Kind::Microphone, Kind::ScreenAudio];
        let listed = may(Video { can_publish_sources: some.clone(), ..Video::default() });
        assert_eq!(listed.publish, Media { audio: true, video: false, screen: false });
        let none = may(Video { can_publish: Some(false), can_publish_sources: some, ..Video::default() });
        assert_eq!(none.publish, Media { audio: false, video: false, screen: false });
        let less =
            Video { can_subscribe: Some(false), can_publish_data: Some(false), room_admin: true, ..Video::default() };
        assert_eq!(may(less), Permissions { publish: Media::ALL, subscribe: false, data: false, admin: true });
    }

    #[test]
    fn a_room_is_one_or_any() {
        let room = |room: Option<&str>| {
            claims(Video { room: room.map(str::to_owned), ..Video::default() }).grants().expect("grants").room
        };
        assert_eq!((room(None), room(Some("")), room(Some("a"))), (None, None, Some("a".to_owned())));
        assert!(!Video { room: Some(String::new()), ..Video::default() }.is_for(""));
    }

    #[test]
    fn who_does_not_enter_is_told_why() {
        let hidden = claims(Video { hidden: true, ..Video::default() });
        let recorder = claims(Video { recorder: true, ..Video::default() });
        let nobody = Claims { sub: None, ..claims(Video::default()) };
        let long = Claims { sub: Some("x".repeat(129)), ..claims(Video::default()) };
        let torn = Claims { sub: Some("a\nb".into()), ..claims(Video::default()) };
        let stuffed = Claims { metadata: Some("x".repeat(4097)), ..claims(Video::default()) };
        let elsewhere = Claims { video: Some(Video::default()), ..claims(Video::default()) };
        for (claims, says) in [
            (hidden, "video.hidden"),
            (recorder, "video.recorder"),
            (nobody, "`sub`"),
            (long, "(129)"),
            (torn, "`ab` (3)"),
            (stuffed, "at most 4096 bytes, got 4097"),
            (elsewhere, "roomJoin"),
            (Claims::default(), "roomJoin"),
        ] {
            let said = claims.grants().expect_err("a refusal");
            assert!(said.contains(says), "{said}");
        }
    }
}
