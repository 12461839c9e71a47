//! What a plane is told, and what it tells: values, so that they can cross threads.

#![allow(missing_docs, reason = "variants have a sentence; the names of their fields say the rest")]

use tandem_rtp::ext::Ids;
use tandem_webrtc::{Breadth, Channel, ChannelId, Credentials, Ended, Message, Path, Remote};

use crate::{EndpointId, GroupId, Publication, Shard, SlotId, Subscription, TrackId, Want};

/// What to do. What names somebody or something that is not there (any more) is counted and otherwise ignored: who gives
/// commands and who hears of an end are on different threads.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// A peer that will come: what it is told of us, the header extensions agreed on with it, and what its DTLS may be like.
    Add { endpoint: EndpointId, credentials: Credentials, ids: Ids, breadth: Breadth },
    /// It speaks and listens with the others of a group, under this number: who speaks is told by group, and what is said by
    /// data channels goes to its members.
    Join { endpoint: EndpointId, group: GroupId, member: u32 },
    /// What its description says.
    Remote { endpoint: EndpointId, remote: Remote },
    /// A candidate of it, `candidate:…`.
    Candidate { endpoint: EndpointId, line: String },
    /// Other header extensions were agreed on with it.
    Extensions { endpoint: EndpointId, ids: Ids },
    /// ICE begins anew with it (RFC 8445 §9).
    Restart { endpoint: EndpointId, credentials: Credentials },
    /// It is said good-bye to and forgotten, with its tracks and slots.
    Remove { endpoint: EndpointId },
    /// It sends a track.
    Publish { endpoint: EndpointId, track: TrackId, publication: Publication },
    /// A track is sent no more.
    Unpublish { track: TrackId },
    /// A track that is published at another plane can be shown at this one. That is forgotten soon after nobody is shown it
    /// (any more): it is told again, each time before it is.
    Import { track: TrackId, home: Shard, publication: Publication },
    /// Members of a group are at these planes, too. One of all, its ear, tells who speaks; `None`: this one.
    Spread { group: GroupId, others: Vec<Shard>, ear: Option<Shard> },
    /// Nobody gets a track until it is let through again.
    Mute { track: TrackId, muted: bool },
    /// It has room for one track: an m-line by which whatever is shown in it comes.
    OpenSlot { endpoint: EndpointId, slot: SlotId, subscription: Subscription },
    /// The room is gone.
    CloseSlot { endpoint: EndpointId, slot: SlotId },
    /// What comes by a slot from here on; `None`: nothing.
    Show { endpoint: EndpointId, slot: SlotId, track: Option<TrackId> },
    /// How much of it is wanted.
    Want { endpoint: EndpointId, slot: SlotId, want: Want },
    /// Opens a data channel to it.
    Open { endpoint: EndpointId, channel: Channel },
    /// Nothing that a member says by the lanes of its group is passed on, or again everything.
    Hush { endpoint: EndpointId, hushed: bool },
    /// Says something by a data channel.
    Send { endpoint: EndpointId, message: Message },
}

/// What has happened.
#[derive(Debug)]
pub enum Event {
    /// A peer's connection stands: media can flow.
    Connected(EndpointId),
    /// No path to it answers any more; it may come back.
    Lost(EndpointId),
    /// A path to it is there (again).
    Found(EndpointId, Path),
    /// It is over. [`Command::Remove`] forgets it.
    Ended(EndpointId, Ended),
    /// A data channel can be used.
    Opened(EndpointId, Channel),
    /// Something was said by a data channel that is none of the lanes of a group.
    Message(EndpointId, Message),
    /// A data channel is gone.
    Closed(EndpointId, ChannelId),
    /// The first packet of a track has come.
    Flows(TrackId),
    /// Somebody else speaks: the dominant one, and the recent ones, that one first. By their tracks.
    Speaking { group: GroupId, recent: Vec<TrackId> },
    /// A subscriber gets another layer of what a slot shows; `None`: nothing for now.
    Layer { endpoint: EndpointId, slot: SlotId, layer: Option<crate::Layer> },
    /// How many of a track's streams, the smallest first, somebody wants: what is beyond need not be sent (dynacast).
    Watched { track: TrackId, streams: u8 },
}
