//! The two lanes of a group: data channels that a member opens under the labels `reliable` and `lossy`.
//!
//! ```text
//!   to us      | to, 32 bits, the member's number; 0: all others | payload |
//!   from us    | from, 32 bits                                   | payload |
//! ```
//!
//! Messages are binary; text is refused. Each member is reached by its own channel with that label, as long as it has one.
//! Whoever does not read as fast as others write loses messages of the lossy lane. On the reliable one nothing may be missing
//! in silence: once [`tandem_webrtc::BUFFERED`] bytes wait, that member's channel is closed, so that it knows, and it may open
//! another. The others notice nothing.

use tandem_webrtc::{Channel, ChannelId, Message};

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Everything arrives, or the channel ends.
    Reliable,
    /// What finds no room is lost.
    Lossy,
}

/// The channels of one member.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lanes {
    reliable: Option<ChannelId>,
    lossy: Option<ChannelId>,
    /// Nothing it says is passed on.
    pub(crate) hushed: bool,
}

/// What a member has said.
#[derive(Debug)]
pub(crate) struct Said {
    /// Who, by its place.
    pub(crate) place: usize,
    pub(crate) lane: Lane,
    pub(crate) message: Message,
}

impl Lanes {
    /// A channel has been opened; the last one under a label is the lane.
    pub(crate) fn open(&mut self, channel: &Channel) {
        match channel.label.as_str() {
            "reliable" => self.reliable = Some(channel.id),
            "lossy" => self.lossy = Some(channel.id),
            _ => {}
        }
    }

    pub(crate) fn close(&mut self, id: ChannelId) {
        self.reliable.take_if(|lane| *lane == id);
        self.lossy.take_if(|lane| *lane == id);
    }

    /// Which lane a channel is.
    pub(crate) fn of(&self, id: ChannelId) -> Option<Lane> {
        let is_reliable = (self.reliable == Some(id)).then_some(Lane::Reliable);
        is_reliable.or((self.lossy == Some(id)).then_some(Lane::Lossy))
    }

    /// The channel of a lane.
    pub(crate) fn channel(&self, lane: Lane) -> Option<ChannelId> {
        match lane {
            Lane::Reliable => self.reliable,
            Lane::Lossy => self.lossy,
        }
    }
}
