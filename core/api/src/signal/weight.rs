//! How much memory a frame holds, about: what is kept for a client is bounded by it.

use super::{
    Breakout, BreakoutMember, Event, Joined, Note, Numbered, Outcome, Participant, Room, Sent, ServerFrame, SlotLayer,
    Track,
};

const ICE_SERVER_BYTES: usize = 256;

impl ServerFrame {
    /// About as many bytes as it holds in memory. Cheap: nothing is printed.
    pub fn weight(&self) -> usize {
        match self {
            Self::Event(numbered) => numbered.weight(),
            Self::Note(Note::Refused { detail, .. }) => size_of::<Self>() + detail.len(),
            Self::Note(Note::Seen(seen)) => size_of::<Self>() + seen.names.iter().map(String::len).sum::<usize>(),
            Self::Note(Note::Speakers { participants }) => {
                size_of::<Self>() + participants.iter().map(|id| size_of::<String>() + id.len()).sum::<usize>()
            }
            Self::Note(Note::Layers { slots }) => {
                size_of::<Self>() + slots.iter().map(|slot| size_of::<SlotLayer>() + slot.mid.len()).sum::<usize>()
            }
            Self::Note(Note::Caption { from, text, language, .. }) => {
                size_of::<Self>() + from.len() + text.len() + language.len()
            }
            Self::Note(Note::Resumed { .. } | Note::Pong {} | Note::Draining { .. }) => size_of::<Self>(),
        }
    }
}

impl Numbered {
    /// About as many bytes as it holds in memory; an event that several hold counts for each of them.
    pub fn weight(&self) -> usize {
        size_of::<Self>() + size_of::<Event>() + self.event.texts()
    }
}

impl Event {
    /// What it holds beyond itself.
    fn texts(&self) -> usize {
        match self {
            Self::Joined(joined) => of_joined(joined),
            Self::Reply { outcome: Outcome::Refused { detail, .. }, .. } => detail.len(),
            Self::Reply { outcome: Outcome::Ok, .. } | Self::Out { .. } => 0,
            Self::ParticipantJoined { participant } | Self::ParticipantChanged { participant } => {
                of_person(participant)
            }
            Self::ParticipantLeft { participant, .. } => participant.len(),
            Self::RoomChanged { room } => of_room(room),
            Self::Moved { room, pass } => room.len() + pass.len(),
            Self::Offer { from, sdp } | Self::Answer { from, sdp } => from.len() + sdp.len(),
            Self::Candidate { from, candidate } => {
                let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
                from.len() + candidate.candidate.len() + text(&candidate.sdp_mid) + text(&candidate.username_fragment)
            }
            Self::Chat { from, text, .. } => from.len() + text.len(),
            Self::Message { from, data } => from.len() + data.text().len(),
            Self::MediaAnswer { sdp, tracks, .. } => {
                sdp.len() + tracks.iter().map(|it| size_of::<Sent>() + it.mid.len() + it.track.len()).sum::<usize>()
            }
            Self::MediaEnded { detail } => detail.len(),
            Self::Watched { track, .. } => track.len(),
            Self::Muted { by, .. } => by.len(),
            Self::IceServers { ice_servers } => ice_servers.len() * ICE_SERVER_BYTES,
        }
    }
}

fn of_joined(joined: &Joined) -> usize {
    let people: usize = joined.participants.iter().map(|p| size_of::<Participant>() + of_person(p)).sum();
    size_of::<Joined>() + of_room(&joined.room) + people + joined.ice_servers.len() * ICE_SERVER_BYTES
}

fn of_person(participant: &Participant) -> usize {
    let tracks: usize = participant.tracks.iter().map(|track| size_of::<Track>() + track.id.len()).sum();
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let from_token = text(&participant.identity) + text(&participant.metadata);
    participant.id.len() + participant.name.len() + from_token + tracks
}

fn of_room(room: &Room) -> usize {
    let text = |text: &Option<String>| text.as_ref().map_or(0, String::len);
    let member = |member: &BreakoutMember| size_of::<BreakoutMember>() + member.id.len() + member.name.len();
    let breakout =
        |it: &Breakout| size_of::<Breakout>() + it.name.len() + it.participants.iter().map(member).sum::<usize>();
    let breakouts: usize = room.breakouts.iter().map(breakout).sum();
    room.name.len() + room.host.len() + text(&room.metadata) + text(&room.parent) + breakouts
}
