//! An event as it is sent: JSON, its fields and words those of LiveKit's `WebhookEvent`.

use serde::Serialize;
use tandem_api::signal::{self, ClientKind, LeaveReason, Permissions, Source};
use tandem_engine::Happening;

use super::Told;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    event: &'static str,
    /// The same however often it is sent.
    id: String,
    /// Seconds since 1970, as all times but those in `…Ms`.
    created_at: u64,
    room: Room<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    participant: Option<Participant<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    track: Option<Track<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Room<'a> {
    sid: &'a str,
    name: &'a str,
    creation_time: u64,
    creation_time_ms: u64,
    num_participants: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Participant<'a> {
    /// Its identity within the room.
    sid: &'a str,
    /// Whom its token was made for; absent without a token.
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<&'a str>,
    name: &'a str,
    state: &'static str,
    joined_at: u64,
    joined_at_ms: u64,
    kind: &'static str,
    is_publisher: bool,
    permission: Permission,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disconnect_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tracks: Vec<Track<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Permission {
    can_subscribe: bool,
    can_publish: bool,
    can_publish_data: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    can_publish_sources: Vec<&'static str>,
}

#[derive(Serialize)]
struct Track<'a> {
    sid: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
    source: &'static str,
    muted: bool,
}

/// What it is called.
pub(super) fn name(what: &Happening) -> &'static str {
    match what {
        Happening::RoomStarted => "room_started",
        Happening::RoomFinished => "room_finished",
        Happening::ParticipantJoined { .. } => "participant_joined",
        Happening::ParticipantLeft { .. } => "participant_left",
        Happening::TrackPublished { .. } => "track_published",
        Happening::TrackUnpublished { .. } => "track_unpublished",
    }
}

/// The body of a request.
pub(super) fn body(told: &Told) -> Vec<u8> {
    let hook = &told.hook;
    let (participant, track) = match &hook.what {
        Happening::RoomStarted | Happening::RoomFinished => (None, None),
        Happening::ParticipantJoined { participant } => (Some(self::participant(participant, None)), None),
        Happening::ParticipantLeft { participant, reason } => {
            (Some(self::participant(participant, Some(*reason))), None)
        }
        Happening::TrackPublished { participant, track } | Happening::TrackUnpublished { participant, track } => {
            (Some(self::participant(participant, None)), Some(self::track(track)))
        }
    };
    let event = Event {
        event: name(&hook.what),
        id: format!("EV_{}_{:x}_{:x}", hook.session, hook.at, told.serial),
        created_at: hook.at / 1000,
        room: Room {
            sid: &hook.session,
            name: &hook.room.name,
            creation_time: hook.room.started_at / 1000,
            creation_time_ms: hook.room.started_at,
            num_participants: hook.room.counts.participants,
            metadata: hook.room.metadata.as_deref(),
        },
        participant,
        track,
    };
    // Our own types have string keys only, so printing cannot fail; were it to, an empty object says nothing.
    serde_json::to_vec(&event).unwrap_or_else(|_| b"{}".to_vec())
}

fn participant(from: &signal::Participant, left: Option<LeaveReason>) -> Participant<'_> {
    Participant {
        sid: &from.id,
        identity: from.identity.as_deref(),
        name: &from.name,
        state: if left.is_some() { "DISCONNECTED" } else { "ACTIVE" },
        joined_at: from.joined_at / 1000,
        joined_at_ms: from.joined_at,
        kind: if from.client == ClientKind::Whip { "INGRESS" } else { "STANDARD" },
        is_publisher: !from.tracks.is_empty(),
        permission: permission(&from.may),
        metadata: from.metadata.as_deref(),
        disconnect_reason: left.map(reason),
        tracks: from.tracks.iter().map(track).collect(),
    }
}

fn permission(may: &Permissions) -> Permission {
    let publish = may.publish;
    let mut sources = Vec::new();
    for (allowed, source) in [
        (publish.audio, Source::Microphone),
        (publish.video, Source::Camera),
        (publish.screen, Source::Screen),
        (publish.screen, Source::ScreenAudio),
    ] {
        if allowed {
            sources.push(words(source).1);
        }
    }
    let can_publish = !sources.is_empty();
    if publish == signal::Media::ALL {
        sources.clear();
    }
    Permission { can_subscribe: may.subscribe, can_publish, can_publish_data: may.data, can_publish_sources: sources }
}

fn track(from: &signal::Track) -> Track<'_> {
    let (kind, source) = words(from.source);
    Track { sid: &from.id, kind, source, muted: from.stopped }
}

/// `TrackType` and `TrackSource`.
fn words(source: Source) -> (&'static str, &'static str) {
    match source {
        Source::Microphone => ("AUDIO", "MICROPHONE"),
        Source::Camera => ("VIDEO", "CAMERA"),
        Source::Screen => ("VIDEO", "SCREEN_SHARE"),
        Source::ScreenAudio => ("AUDIO", "SCREEN_SHARE_AUDIO"),
    }
}

/// `DisconnectReason`, as near as it comes.
fn reason(reason: LeaveReason) -> &'static str {
    match reason {
        LeaveReason::Left => "CLIENT_INITIATED",
        LeaveReason::Lost => "CONNECTION_TIMEOUT",
        LeaveReason::Removed => "PARTICIPANT_REMOVED",
        LeaveReason::Declined => "USER_REJECTED",
        LeaveReason::Ended => "ROOM_DELETED",
        LeaveReason::TooSlow => "SIGNAL_CLOSE",
        LeaveReason::Moved => "MIGRATION",
        LeaveReason::Replaced => "DUPLICATE_IDENTITY",
    }
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::{Value, json};
    use tandem_engine::Hook;

    use super::*;

    fn room(name: &str) -> signal::Room {
        let room = json!({
            "name": name, "host": "p1", "locked": false, "entry": "open", "relay_only": false, "always_sfu": false,
            "started_at": 1_000_500, "counts": { "participants": 1, "audio": 1, "video": 0, "screen": 0 },
        });
        serde_json::from_value(room).expect("a room")
    }

    /// Somebody has entered an empty room.
    pub fn hook(name: &str) -> Hook {
        Hook { at: 2_000_999, room: room(name), session: "s1".into(), what: Happening::RoomStarted }
    }

    fn ann() -> signal::Participant {
        let ann = json!({
            "id": "p1", "name": "Ann", "media": { "audio": true, "video": false, "screen": false }, "state": "here",
            "hide_address": false, "client": "web", "epoch": 1, "joined_at": 1_500_000, "identity": "user-42",
            "metadata": "{}", "tracks": [{ "id": "t1", "source": "microphone", "stopped": true }],
            "may": { "publish": { "audio": true, "video": false, "screen": false }, "subscribe": true, "data": false, "admin": false },
        });
        serde_json::from_value(ann).expect("a participant")
    }

    fn said(what: Happening) -> Value {
        let told = Told { hook: Hook { what, ..hook("a") }, serial: 7 };
        serde_json::from_slice(&body(&told)).expect("JSON")
    }

    #[test]
    fn an_event_says_where_when_who_and_what() {
        let event = said(Happening::TrackPublished { participant: ann(), track: ann().tracks.remove(0) });
        let track = json!({ "sid": "t1", "type": "AUDIO", "source": "MICROPHONE", "muted": true });
        let wanted = json!({
            "event": "track_published", "id": "EV_s1_1e8867_7", "createdAt": 2000,
            "room": { "sid": "s1", "name": "a", "creationTime": 1000, "creationTimeMs": 1_000_500, "numParticipants": 1 },
            "participant": {
                "sid": "p1", "identity": "user-42", "name": "Ann", "state": "ACTIVE", "joinedAt": 1500,
                "joinedAtMs": 1_500_000, "kind": "STANDARD", "isPublisher": true, "metadata": "{}",
                "permission": {
                    "canSubscribe": true, "canPublish": true, "canPublishData": false, "canPublishSources": ["MICROPHONE"],
                },
                "tracks": [track.clone()],
            },
            "track": track,
        });
        assert_eq!(event, wanted);
    }

    #[test]
    fn who_leaves_does_so_for_a_reason() {
        let event = said(Happening::ParticipantLeft { participant: ann(), reason: LeaveReason::Replaced });
        assert_eq!(event["participant"]["disconnectReason"], "DUPLICATE_IDENTITY");
        assert_eq!(event["participant"]["state"], "DISCONNECTED");
        let finished = said(Happening::RoomFinished);
        assert_eq!(finished["event"], "room_finished");
        assert!(finished.get("participant").is_none() && finished.get("track").is_none());
    }
}
