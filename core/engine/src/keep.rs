//! How a room stands, for the store; and a room as it stood when an earlier process ended.

use std::collections::BTreeMap;

use tandem_api::signal::Presence;
use tandem_policy::names::{PersonName, RoomName};

use crate::context::{Context, RoomKey, deadline};
use crate::family::Family;
use crate::interface::{Now, ParticipantKept, RoomKept};
use crate::participant::{Admission, Card, Keys, Link, Pace, Participant, Who, parse_identity};
use crate::room::{Room, Rules, Running};
use crate::session::Session;
use crate::timers::Timer;

impl Room {
    /// What a later process needs.
    pub(crate) fn kept(&self, ctx: &Context) -> RoomKept {
        let mut room = self.view(ctx);
        // What the server as a whole demands may differ next time.
        room.relay_only = self.rules.relay_only;
        room.tokens = self.rules.tokens;
        let stays = self.members.iter().filter(|(_, member)| !member.is_guest());
        let participants = stays.map(|(number, member)| ParticipantKept {
            participant: member.view(*number),
            resume_hash: member.keys.write(),
            named: member.card.as_ref().is_some_and(|card| card.named),
            home: member.card.as_ref().and_then(|card| card.home),
        });
        RoomKept {
            room,
            session: self.session(),
            max_participants: self.rules.max_participants,
            created: self.rules.created,
            participants: participants.collect(),
        }
    }

    /// Everyone is away, and has the usual time to come back. What cannot be read is left out.
    pub(crate) fn restore(ctx: &mut Context, now: Now, (key, name): (RoomKey, RoomName), kept: RoomKept) -> Self {
        let rules = Rules {
            entry: kept.room.entry,
            relay_only: kept.room.relay_only,
            max_participants: kept.max_participants,
            created: kept.created,
            tokens: kept.room.tokens,
        };
        let mut room = Self::new(key, name.into_string(), rules, now);
        room.stored = true;
        room.made_at = kept.room.started_at;
        room.metadata = kept.room.metadata;
        room.watch_only = kept.room.watch_only;
        room.forwarding.forced = kept.room.always_sfu;
        room.family = Family { parent: kept.room.parent, breakouts: kept.room.breakouts };
        if !kept.session.is_empty() {
            room.locked = kept.room.locked;
            room.running = Some(Running { id: kept.session, started_at: kept.room.started_at });
            ctx.stats.sessions += 1;
        }
        if room.running.is_some() {
            for place in kept.participants {
                room.restore_place(ctx, now, place);
            }
        }
        room.host = parse_identity(&kept.room.host)
            .filter(|host| room.members.get(host).is_some_and(|member| member.is_in()))
            .unwrap_or_else(|| room.next_host());
        room.choose_topology(ctx, now);
        room
    }

    fn restore_place(&mut self, ctx: &mut Context, now: Now, place: ParticipantKept) -> Option<()> {
        let number = parse_identity(&place.participant.id).filter(|number| !self.members.contains_key(number))?;
        let keys = Keys::parse(&place.resume_hash)?;
        let name = PersonName::parse(&place.participant.name).ok()?.into_string();
        let seat = self.seat(number);
        let hashes = [Some(keys.current), keys.previous];
        if hashes.iter().flatten().any(|hash| ctx.tokens.is_held(hash)) {
            return None;
        }
        hashes.into_iter().flatten().for_each(|hash| ctx.tokens.restore(hash, seat));
        let until = deadline(now, ctx.config.resume);
        ctx.timers.set(until, Timer::Away(seat));
        ctx.stats.participants += 1;
        let rings = place.participant.state == Presence::Ringing;
        let (identity, metadata) = (place.participant.identity, place.participant.metadata);
        let card = Card { identity, metadata, named: place.named, home: place.home };
        let member = Participant {
            who: Who {
                name,
                media: place.participant.media,
                hide_address: place.participant.hide_address,
                encrypted: place.participant.encrypted,
                client: place.participant.client,
                epoch: place.participant.epoch,
                joined_at: place.participant.joined_at,
            },
            may: place.participant.may,
            card: (card != Card::default()).then(|| card.into()),
            admission: if rings { Admission::Ringing } else { Admission::In },
            link: Link::Lost { until },
            host: "".into(),
            port: None,
            session: Session::foreign(),
            keys,
            pace: Pace::new(now.instant),
            paths: BTreeMap::new(),
            renewal: None,
            hand: place.participant.hand,
            leg: None,
        };
        self.members.insert(number, Box::new(member));
        self.last_number = self.last_number.max(number);
        Some(())
    }
}
