//! The part of the protocol that is about the server's media plane.
//!
//! ```text
//! client                                                  server
//!   │ {"type":"media_offer","id":7,"sdp":"…","sends":[…]}    │   the browser always offers: a new m-line for each track it
//!   ├───────────────────────────────────────────────────────►│   sends, and some more, receive-only, as slots
//!   │      {"type":"media_answer","to":7,"sdp":"…",…}        │
//!   │◄───────────────────────────────────────────────────────┤
//!   │ {"type":"watch","id":8,"slots":[{"mid":"3",…}]}        │   which track comes by which slot, and how large it is shown:
//!   ├───────────────────────────────────────────────────────►│   changes without a new offer
//! ```

#![allow(missing_docs, reason = "field names are the words of the protocol; those that need a sentence have one")]

use serde::{Deserialize, Serialize};
use ts_rs::TS;

/// How the media of a room goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum Topology {
    /// From browser to browser.
    #[default]
    P2p,
    /// Through the server's media plane.
    Sfu,
}

/// What a track shows or lets hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    Microphone,
    Camera,
    Screen,
    ScreenAudio,
}

/// What a participant sends through the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Track {
    /// `t5`: unique in the room, and never used again.
    pub id: String,
    pub source: Source,
    /// The host has stopped it: nobody gets it until its owner says in `media` that it is on again.
    pub stopped: bool,
}

/// An m-line of an offer that sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(deny_unknown_fields)]
pub struct Sends {
    pub mid: String,
    pub source: Source,
}

/// What is to come by an m-line that receives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(deny_unknown_fields)]
pub struct Slot {
    /// The m-line.
    pub mid: String,
    /// A track of somebody else; nothing comes when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional = nullable)]
    pub track: Option<String>,
    /// Height of the tile it is shown in, in device pixels; 0: not visible, and no picture comes.
    #[serde(default)]
    pub height: u16,
    /// Comes before those with less, where not everything fits.
    #[serde(default)]
    pub priority: u8,
}

/// A track of the answerer's list: which m-line of the offer has become which track.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Sent {
    pub mid: String,
    pub track: String,
}

/// What comes by a slot at the moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct SlotLayer {
    pub mid: String,
    /// Absent: nothing, for there is no room for it on the way to you.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[ts(optional)]
    pub layer: Option<Layer>,
}

/// One of the layers that a picture is sent in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Layer {
    /// Of simulcast: 0 is the smallest.
    pub stream: u8,
    /// Of scalable coding, in size.
    pub spatial: u8,
    /// Of scalable coding, in pictures per second.
    pub temporal: u8,
}
