//! Commands: whom each is about, and what becomes of peers.

use std::time::{Duration, Instant};

use tandem_rtp::Ssrc;
use tandem_rtp::ext::Ids;
use tandem_rtp::rtcp::Recorder;
use tandem_webrtc::{Breadth, Channel, ChannelId, Credentials, Message, Transport};

use super::Plane;
use crate::EndpointId;
use crate::command::Command;
use crate::endpoint::{Endpoint, Incoming, Outgoing, Timers};
use crate::lanes::Lanes;
use crate::outbox::Outbox;

impl Plane {
    /// Something is to be done.
    pub fn handle_command(&mut self, now: Instant, command: Command, out: &mut impl Outbox) {
        if self.obey(now, command, out).is_none() {
            self.counters.ignored += 1;
        }
    }

    /// `None`: it names somebody or something that is not there, or a name that is taken.
    fn obey(&mut self, now: Instant, command: Command, out: &mut impl Outbox) -> Option<()> {
        match command {
            Command::Add { endpoint, credentials, ids, breadth } => {
                self.add(now, endpoint, (credentials, breadth), ids)
            }
            Command::Join { endpoint, group, member } => self.join(endpoint, group, member),
            Command::Hush { endpoint, hushed } => self.hush(endpoint, hushed),
            Command::Remote { endpoint, remote } => {
                self.transport(now, endpoint, out, |transport| transport.set_remote(now, remote))
            }
            Command::Candidate { endpoint, line } => {
                // What is none is of no use, and of no harm.
                self.transport(now, endpoint, out, |transport| drop(transport.add_candidate(now, &line)))
            }
            Command::Extensions { endpoint, ids } => {
                let place = self.place(endpoint)?;
                self.with(place, |endpoint| endpoint.ids = ids)
            }
            Command::Restart { endpoint, credentials } => self.restart_ice(now, endpoint, credentials, out),
            Command::Remove { endpoint } => self.remove(now, endpoint, out),
            Command::Publish { endpoint, track, publication } => self.publish(now, endpoint, track, publication),
            Command::Unpublish { track } => self.unpublish(now, track),
            Command::Import { track, home, publication } => self.import(now, track, home, publication),
            Command::Spread { group, others, ear } => self.spread(group, others, ear),
            Command::Mute { track, muted } => self.mute(now, track, muted),
            Command::OpenSlot { endpoint, slot, subscription } => self.open_slot(now, endpoint, slot, subscription),
            Command::CloseSlot { endpoint, slot } => self.close_slot(now, endpoint, slot),
            Command::Show { endpoint, slot, track } => self.show(now, endpoint, slot, track),
            Command::Want { endpoint, slot, want } => self.want(now, endpoint, slot, want),
            Command::Open { endpoint, channel } => self.open(now, endpoint, &channel, out),
            Command::Send { endpoint, message } => self.send(now, endpoint, &message, out),
        }
    }

    fn transport(
        &mut self,
        now: Instant,
        id: EndpointId,
        out: &mut impl Outbox,
        act: impl FnOnce(&mut Transport),
    ) -> Option<()> {
        let place = self.place(id)?;
        self.with(place, |endpoint| act(&mut endpoint.transport))?;
        self.settle(now, place, out);
        Some(())
    }

    fn add(
        &mut self,
        now: Instant,
        id: EndpointId,
        (credentials, breadth): (Credentials, Breadth),
        ids: Ids,
    ) -> Option<()> {
        if self.names.endpoints.contains_key(&id) || self.names.ufrags.contains_key(&credentials.ufrag) {
            return None;
        }
        let ufrag = credentials.ufrag.clone();
        let foreign = self.config.foreign.as_ref().filter(|_| breadth == Breadth::Everybody);
        let transports = foreign.unwrap_or(&self.config.transports).clone();
        let transport = Transport::new(now, transports, credentials, self.random.next(), &self.config.listens);
        let place = self.endpoints.insert(Endpoint {
            id,
            ufrag: ufrag.clone(),
            transport,
            srtp: None,
            path: None,
            sources: Vec::new(),
            ids,
            own: Ssrc(self.random.word()),
            incoming: Incoming::default(),
            outgoing: Outgoing::default(),
            downlink: None,
            group: None,
            lanes: Lanes::default(),
            recorder: Recorder::new(),
            timers: Timers::default(),
            round_trip: FIRST_ROUND_TRIP,
            is_over: false,
        });
        self.names.endpoints.insert(id, place);
        self.names.ufrags.insert(ufrag, place);
        self.schedule(now, place);
        Some(())
    }

    fn restart_ice(
        &mut self,
        now: Instant,
        id: EndpointId,
        credentials: Credentials,
        out: &mut impl Outbox,
    ) -> Option<()> {
        let place = self.place(id)?;
        if self.names.ufrags.contains_key(&credentials.ufrag) {
            return None;
        }
        let ufrag = credentials.ufrag.clone();
        let before = self.with(place, |endpoint| {
            endpoint.transport.restart_ice(now, credentials);
            std::mem::replace(&mut endpoint.ufrag, ufrag.clone())
        })?;
        self.names.ufrags.remove(&before);
        self.names.ufrags.insert(ufrag, place);
        self.settle(now, place, out);
        Some(())
    }

    fn remove(&mut self, now: Instant, id: EndpointId, out: &mut impl Outbox) -> Option<()> {
        let place = self.names.endpoints.remove(&id)?;
        self.with(place, |endpoint| endpoint.transport.close(now));
        self.settle(now, place, out);
        self.leave(place);
        self.drop_tracks_of(now, place);
        self.drop_slots_of(now, place);
        let endpoint = self.endpoints.try_remove(place)?;
        self.names.ufrags.remove(&endpoint.ufrag);
        for source in &endpoint.sources {
            if self.names.addresses.get(source) == Some(&place) {
                self.names.addresses.remove(source);
            }
        }
        endpoint.timers.listed.map(|at| self.due.remove(&(at, place)));
        Some(())
    }

    fn open(&mut self, now: Instant, id: EndpointId, channel: &Channel, out: &mut impl Outbox) -> Option<()> {
        let Channel { label, protocol, ordered, reliability, .. } = channel;
        self.transport(now, id, out, |transport| {
            // None if there are too many, or it is not connected: then it is never told to be open.
            let _: Option<ChannelId> = transport.open(now, label, protocol, *ordered, *reliability);
        })
    }

    fn send(&mut self, now: Instant, id: EndpointId, message: &Message, out: &mut impl Outbox) -> Option<()> {
        let place = self.place(id)?;
        let Message { channel, is_text, bytes } = message;
        let sent = self.with(place, |endpoint| endpoint.transport.send(now, *channel, *is_text, bytes))?;
        self.counters.unsaid += u64::from(sent.is_err());
        self.settle(now, place, out);
        Some(())
    }
}

/// Until one has been measured.
const FIRST_ROUND_TRIP: Duration = Duration::from_millis(100);
