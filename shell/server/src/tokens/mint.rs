//! Tokens that we make ourselves, for `tandem token create` and the REST API.

use std::time::Duration;

use tandem_policy::names::{PersonName, RoomName};
use tandem_store::Signer;

use super::claims::{Claims, Kind, Video};
use super::sign;
use crate::http::rest::encoded;

/// A token that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The room it is for.
    pub room: String,
    /// Whom it is for.
    pub identity: String,
    /// What the others see.
    pub name: Option<String>,
    /// Whatever the third party keeps with it.
    pub metadata: Option<String>,
    /// How long it is good.
    pub ttl: Duration,
    /// What may be sent.
    pub publish: tandem_api::signal::Media,
    /// It gets what the others send.
    pub subscribe: bool,
    /// It may chat.
    pub data: bool,
    /// It may do what the host may.
    pub admin: bool,
}

impl Wanted {
    /// Makes it; `now` in seconds since 1970. Otherwise a sentence says what is wrong with what is wanted.
    pub fn mint(&self, signer: &Signer, now: u64) -> Result<Minted, String> {
        RoomName::parse(&self.room).map_err(|error| format!("room: {error}"))?;
        if let Some(name) = &self.name {
            PersonName::parse(name).map_err(|error| format!("name: {error}"))?;
        }
        if !(1..=LONGEST.as_secs()).contains(&self.ttl.as_secs()) {
            let days = LONGEST.as_secs() / 86_400;
            return Err(format!("ttl: expected one second to {days} days, got {} s", self.ttl.as_secs()));
        }
        let claims = self.claims(signer, now);
        claims.grants()?;
        Ok(Minted { token: sign(&claims, signer)?, expires_at: claims.exp })
    }

    fn claims(&self, signer: &Signer, now: u64) -> Claims {
        let everything = self.publish == tandem_api::signal::Media::ALL;
        let sources = self.sources();
        let no = |allowed: bool| (!allowed).then_some(false);
        let video = Video {
            room: Some(self.room.clone()),
            room_join: true,
            room_admin: self.admin,
            can_publish: no(!sources.is_empty()),
            can_publish_sources: if everything { Vec::new() } else { sources },
            can_subscribe: no(self.subscribe),
            can_publish_data: no(self.data),
            ..Video::default()
        };
        Claims {
            iss: signer.id.clone(),
            sub: Some(self.identity.clone()),
            name: self.name.clone(),
            exp: now.saturating_add(self.ttl.as_secs()),
            metadata: self.metadata.clone(),
            video: Some(video),
            ..Claims::default()
        }
    }

    fn sources(&self) -> Vec<Kind> {
        let mut kinds = Vec::new();
        if self.publish.audio {
            kinds.push(Kind::Microphone);
        }
        if self.publish.video {
            kinds.push(Kind::Camera);
        }
        if self.publish.screen {
            kinds.extend([Kind::Screen, Kind::ScreenAudio]);
        }
        kinds
    }
}

/// A token that was made.
pub struct Minted {
    /// The token.
    pub token: String,
    /// Until when it is good, in seconds since 1970.
    pub expires_at: u64,
}

/// Where whoever has the token goes. What stands behind the `#` no server ever sees.
pub fn link(base: &str, room: &str, token: &str) -> String {
    format!("{}/r/{}#token={token}", base.trim_end_matches('/'), encoded(room))
}

/// What is good for longer cannot be taken back but with its key.
pub const LONGEST: Duration = Duration::from_secs(365 * 86_400);
/// Good for, where nothing else is asked for.
pub const USUAL: Duration = Duration::from_secs(6 * 3600);

#[cfg(test)]
mod tests {
    use tandem_api::signal::{Media, Permissions};

    use super::super::look;
    use super::*;

    fn wanted() -> Wanted {
        Wanted {
            room: "blue-otter".into(),
            identity: "ann".into(),
            name: Some("Ann".into()),
            metadata: None,
            ttl: USUAL,
            publish: Media::ALL,
            subscribe: true,
            data: true,
            admin: false,
        }
    }

    fn signer() -> Signer {
        Signer { id: "0123456789ab".into(), secret: "x".into() }
    }

    #[test]
    fn what_is_wanted_is_what_is_granted() {
        let some = Media { audio: true, video: false, screen: true };
        let none = Media { audio: false, video: false, screen: false };
        for (publish, subscribe, data, admin) in
            [(Media::ALL, true, true, false), (some, false, true, true), (none, true, false, false)]
        {
            let token = Wanted { publish, subscribe, data, admin, ..wanted() }.mint(&signer(), 100).expect("a token");
            let claims = look(&token.token).expect("claims");
            assert_eq!((claims.exp, token.expires_at), (21_700, 21_700));
            let grants = claims.grants().expect("grants");
            assert_eq!(grants.may, Permissions { publish, subscribe, data, admin });
            assert_eq!((grants.room.as_deref(), grants.identity.as_deref()), (Some("blue-otter"), Some("ann")));
        }
    }

    #[test]
    fn what_would_not_be_taken_is_not_made() {
        for (wanted, says) in [
            (Wanted { room: "a/b".into(), ..wanted() }, "room: "),
            (Wanted { name: Some("\u{202e}".into()), ..wanted() }, "name: "),
            (Wanted { identity: String::new(), ..wanted() }, "`sub`"),
            (Wanted { ttl: Duration::ZERO, ..wanted() }, "ttl: expected one second to 365 days"),
            (Wanted { metadata: Some("x".repeat(5000)), ..wanted() }, "metadata"),
        ] {
            let said = wanted.mint(&signer(), 100).err().expect("a refusal");
            assert!(said.contains(says), "{said}");
        }
    }

    #[test]
    fn a_link_carries_the_token_where_servers_do_not_see_it() {
        assert_eq!(link("https://a.example/", "grün", "x.y.z"), "https://a.example/r/gr%C3%BCn#token=x.y.z");
    }
}
