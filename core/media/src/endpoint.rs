//! One peer: its transport, its keys, what it sends and what it gets.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tandem_rtp::Ssrc;
use tandem_rtp::ext::{self, Ids};
use tandem_rtp::rtcp::Recorder;
use tandem_rtp::srtp::{Master, Receiver, Sender, Suite};
use tandem_webrtc::{Path, Protocol, SrtpKeys, SrtpProfile, Transport};

use crate::downlink::Downlink;
use crate::lanes::Lanes;
use crate::{EndpointId, SlotId};

/// One peer.
///
/// Size: a packet touches most of these, each once; they are children already.
pub(crate) struct Endpoint {
    pub(crate) id: EndpointId,
    pub(crate) ufrag: String,
    pub(crate) transport: Transport,
    pub(crate) srtp: Option<Srtp>,
    pub(crate) path: Option<Path>,
    /// Where it has been seen.
    pub(crate) sources: Vec<(Protocol, SocketAddr)>,
    /// Header extensions, as agreed on with it.
    pub(crate) ids: Ids,
    /// Who we are in control packets.
    pub(crate) own: Ssrc,
    pub(crate) incoming: Incoming,
    pub(crate) outgoing: Outgoing,
    /// Once it has slots.
    pub(crate) downlink: Option<Box<Downlink>>,
    /// Which group it is in, and under which number.
    pub(crate) group: Option<(usize, u32)>,
    pub(crate) lanes: Lanes,
    pub(crate) recorder: Recorder,
    pub(crate) timers: Timers,
    pub(crate) round_trip: Duration,
    /// It is over; nothing comes of it any more.
    pub(crate) is_over: bool,
}

pub(crate) struct Srtp {
    pub(crate) sender: Sender,
    pub(crate) receiver: Receiver,
}

/// When to do what next.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Timers {
    /// What the plane's list says.
    pub(crate) listed: Option<Instant>,
    /// Receiver reports.
    pub(crate) report: Option<Instant>,
    /// Feedback on arrivals.
    pub(crate) feedback: Option<Instant>,
}

/// Which streams come in, and what each is.
#[derive(Debug, Default)]
pub(crate) struct Incoming {
    known: BTreeMap<Ssrc, Source>,
    /// Tracks by their m-line.
    pub(crate) tracks: Vec<(String, usize)>,
}

/// What it gets.
#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    pub(crate) slots: BTreeMap<SlotId, usize>,
    /// By the SSRC it knows them under, retransmissions too.
    pub(crate) ssrcs: BTreeMap<Ssrc, usize>,
    /// How far streams have got whose slots were closed: under the same key no number may be used twice (RFC 3711 §9.1).
    pub(crate) ended: BTreeMap<Ssrc, u16>,
    /// A slot whose stream of retransmissions can be filled with padding.
    pub(crate) filled: Option<usize>,
    /// Counts all media that is sent to it; of that, 16 bits are on the wire.
    pub(crate) transport_sequence: u64,
}

/// Of which track's stream a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) track: usize,
    pub(crate) stream: usize,
    /// It repeats packets of it (RFC 4588).
    pub(crate) is_rtx: bool,
}

impl Endpoint {
    /// Whether more can be asked of its way than there is media.
    pub(crate) fn can_probe(&self) -> bool {
        self.srtp.is_some() && self.outgoing.filled.is_some() && self.ids.id(ext::Kind::TransportSequence).is_some()
    }
}

impl Srtp {
    /// `None`: keys of a length that their profile does not have.
    pub(crate) fn new(keys: &SrtpKeys) -> Option<Self> {
        let suite = match keys.profile {
            SrtpProfile::Aes128CmSha1_80 => Suite::Aes128CmSha1_80,
            SrtpProfile::AeadAes128Gcm => Suite::AeadAes128Gcm,
            SrtpProfile::AeadAes256Gcm => Suite::AeadAes256Gcm,
        };
        let master = |(key, salt): &(Vec<u8>, Vec<u8>)| Master::from_parts(suite, key, salt).ok();
        Some(Self {
            sender: Sender::new(&master(&keys.ours)?, MAX_OUTGOING),
            receiver: Receiver::new(&master(&keys.theirs)?, MAX_INCOMING),
        })
    }
}

impl Outgoing {
    /// Takes a slot in under its streams.
    pub(crate) fn insert(&mut self, id: SlotId, place: usize, ssrcs: impl Iterator<Item = Ssrc>) {
        self.slots.insert(id, place);
        self.ssrcs.extend(ssrcs.map(|ssrc| (ssrc, place)));
    }

    /// Forgets a slot, but for how far its streams have got.
    pub(crate) fn remove(&mut self, id: SlotId, place: usize, lasts: impl Iterator<Item = (Ssrc, u16)>) {
        self.slots.remove(&id);
        self.ssrcs.retain(|_, other| *other != place);
        for (ssrc, last) in lasts {
            if self.ended.len() < MAX_OUTGOING {
                self.ended.insert(ssrc, last);
            }
        }
    }
}

impl Incoming {
    pub(crate) fn first(&self) -> Option<Ssrc> {
        self.known.keys().next().copied()
    }

    pub(crate) fn get(&self, ssrc: Ssrc) -> Option<Source> {
        self.known.get(&ssrc).copied()
    }

    /// Remembers a stream. Those beyond [`MAX_INCOMING`] are not.
    pub(crate) fn insert(&mut self, ssrc: Ssrc, source: Source) {
        if self.known.len() < MAX_INCOMING || self.known.contains_key(&ssrc) {
            self.known.insert(ssrc, source);
        }
    }

    /// A stream has another name from here on.
    pub(crate) fn forget(&mut self, ssrc: Ssrc) {
        self.known.remove(&ssrc);
    }

    /// A track is gone, and its streams with it.
    pub(crate) fn remove(&mut self, track: usize) {
        self.known.retain(|_, source| source.track != track);
        self.tracks.retain(|(_, known)| *known != track);
    }

    /// The m-line of that name (RFC 9143 §9.2).
    pub(crate) fn track_named(&self, mid: &[u8]) -> Option<usize> {
        let mid = ext::text(mid)?;
        self.tracks.iter().find(|(known, _)| known == mid).map(|(_, track)| *track)
    }
}

/// Streams that a peer may send.
pub(crate) const MAX_INCOMING: usize = 64;
/// Streams that a peer may get: 200 tracks with their retransmissions.
pub(crate) const MAX_OUTGOING: usize = 400;
