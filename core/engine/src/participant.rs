//! One place in a room: who has it, over which transport, and the session held with it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use tandem_api::signal::{self, ClientKind, Event, Media, PathKind, Permissions, Presence, ServerFrame};
use tandem_policy::rate::{Bucket, Rate};

use crate::awaited::Ticket;
use crate::context::Context;
use crate::forwarding;
use crate::interface::{Home, Output, TransportId};
use crate::leg::Leg;
use crate::session::{Bounds, Session};
use crate::tokens::TokenHash;

/// What the others see of it, but for its identity and presence.
#[derive(Clone, Debug)]
pub(crate) struct Who {
    pub name: String,
    pub media: Media,
    pub hide_address: bool,
    pub encrypted: bool,
    pub client: ClientKind,
    pub epoch: u32,
    pub joined_at: u64,
}

/// What it has brought with it: by a token, or from another room.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Card {
    /// Who it is to the third party.
    pub identity: Option<String>,
    /// What that one keeps with it.
    pub metadata: Option<String>,
    /// Its name was given, and is not its own to change.
    pub named: bool,
    /// What it is in the room it has come from.
    pub home: Option<Home>,
}

/// The way to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    Open(TransportId),
    /// Lost; the place is kept until then.
    Lost {
        until: Instant,
    },
    /// There is none: it is in by its connection to the media plane.
    Media {
        /// Until when that has to come about, or to come back.
        until: Option<Instant>,
        /// It has not come about yet.
        awaited: Option<Ticket>,
    },
}

/// Whether the host has let it in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    Ringing,
    In,
}

/// Tokens that bring one back to this place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keys {
    pub current: TokenHash,
    /// The one before, until the client is known to have the current one.
    pub previous: Option<TokenHash>,
}

impl Keys {
    /// The one the client is known to have.
    pub(crate) fn known(&self) -> &TokenHash {
        self.previous.as_ref().unwrap_or(&self.current)
    }

    /// As they are kept for a restart.
    pub(crate) fn write(&self) -> String {
        match &self.previous {
            Some(previous) => format!("{},{}", self.current.write(), previous.write()),
            None => self.current.write(),
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (current, previous) = match text.split_once(',') {
            Some((current, previous)) => (current, Some(TokenHash::parse(previous)?)),
            None => (text, None),
        };
        Some(Self { current: TokenHash::parse(current)?, previous })
    }
}

/// How fast it asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    bucket: Bucket,
    refused: u32,
}

/// Whether a frame may be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Permit {
    Go,
    TooFast,
    /// It has been told often enough.
    Cut,
}

impl Pace {
    pub(crate) fn new(now: Instant) -> Self {
        Self { bucket: Bucket::new(now), refused: 0 }
    }

    pub(crate) fn permit(&mut self, now: Instant, rate: Rate) -> Permit {
        if self.bucket.is_full(now) {
            self.refused = 0;
        }
        if self.bucket.take(now, rate) {
            return Permit::Go;
        }
        self.refused += 1;
        if self.refused <= rate.burst.max(MOST_REFUSALS) {
            return Permit::TooFast;
        }
        self.refused = 0;
        Permit::Cut
    }
}

pub(crate) struct Participant {
    pub who: Who,
    /// What it may do.
    pub may: Permissions,
    /// Most have none.
    pub card: Option<Box<Card>>,
    pub admission: Admission,
    pub link: Link,
    /// The name under which it reached us.
    pub host: Box<str>,
    /// And the port.
    pub port: Option<u16>,
    pub session: Session,
    pub keys: Keys,
    pub pace: Pace,
    /// Last reported path to each peer.
    pub paths: BTreeMap<u32, PathKind>,
    /// When its TURN credentials are renewed.
    pub renewal: Option<Instant>,
    /// When it has raised its hand; Unix time in milliseconds.
    pub hand: Option<u64>,
    /// Its connection to the media plane.
    pub leg: Option<Box<Leg>>,
}

impl Participant {
    pub(crate) fn is_in(&self) -> bool {
        self.admission == Admission::In
    }

    /// Who it is to a third party; whoever has come by a token is somebody.
    pub(crate) fn identity(&self) -> Option<&str> {
        self.card.as_ref()?.identity.as_deref()
    }

    pub(crate) fn transport(&self) -> Option<TransportId> {
        match self.link {
            Link::Open(transport) => Some(transport),
            Link::Lost { .. } | Link::Media { .. } => None,
        }
    }

    pub(crate) fn presence(&self) -> Presence {
        match (self.admission, self.link) {
            (Admission::Ringing, _) => Presence::Ringing,
            (Admission::In, Link::Open(_) | Link::Media { until: None, .. }) => Presence::Here,
            (Admission::In, Link::Lost { .. } | Link::Media { .. }) => Presence::Away,
        }
    }

    /// As on the roster.
    pub(crate) fn view(&self, number: u32) -> signal::Participant {
        signal::Participant {
            id: identity(number),
            name: self.who.name.clone(),
            media: self.who.media,
            state: self.presence(),
            hide_address: self.who.hide_address,
            encrypted: self.who.encrypted,
            client: self.who.client,
            epoch: self.who.epoch,
            joined_at: self.who.joined_at,
            may: self.may,
            identity: self.card.as_ref().and_then(|card| card.identity.clone()),
            metadata: self.card.as_ref().and_then(|card| card.metadata.clone()),
            hand: self.hand,
            tracks: self.tracks(),
        }
    }

    fn tracks(&self) -> Vec<signal::Track> {
        let sent = self.leg.iter().flat_map(|leg| leg.tracks.values());
        sent.map(|sent| signal::Track { id: forwarding::name(sent.number), source: sent.source, stopped: sent.stopped })
            .collect()
    }

    /// Numbers, keeps and sends an event. `false` when more waits now than is kept for one client.
    pub(crate) fn tell(&mut self, ctx: &mut Context, event: Arc<Event>) -> bool {
        if self.is_guest() {
            // Nobody listens.
            return true;
        }
        ctx.stats.events += 1;
        let transport = self.transport();
        let numbered = self.session.push(event);
        if let Some(transport) = transport {
            ctx.emit(Output::Send { transport, frame: ServerFrame::Event(numbered) });
        }
        let bounds = Bounds { events: ctx.config.backlog_events, bytes: ctx.config.backlog_bytes };
        !self.session.is_over(bounds)
    }
}

/// `p7`.
pub(crate) fn identity(number: u32) -> String {
    format!("p{number}")
}

/// The one way of writing a number only.
pub(crate) fn parse_identity(text: &str) -> Option<u32> {
    let number: u32 = text.strip_prefix('p')?.parse().ok()?;
    (number > 0 && identity(number) == text).then_some(number)
}

const MOST_REFUSALS: u32 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_has_one_spelling() {
        assert_eq!(parse_identity("p12"), Some(12));
        for text in ["", "p", "12", "p0", "p012", "p+1", "p-1", "P1", "p1 ", "p99999999999"] {
            assert_eq!(parse_identity(text), None, "{text}");
        }
    }
}
