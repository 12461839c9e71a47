//! What each may do: by a token, by the host's word, or as whoever has the link.

use tandem_api::signal::{Media, Permissions, Reason, Source};
use tandem_media::Command;

use crate::context::{Context, Refusal};
use crate::interface::{Grants, Now, Output};
use crate::participant::{Card, Participant, identity};
use crate::passes::Pass;
use crate::room::Room;
use crate::tokens::TokenHash;

type Answer = Result<(), Refusal>;

/// Of a newcomer where newcomers only watch.
pub(crate) const WATCH_ONLY: Permissions = Permissions { publish: NOTHING, ..Permissions::USUAL };
const NOTHING: Media = Media { audio: false, video: false, screen: false };

/// By what somebody enters.
#[derive(Clone, Debug)]
pub(crate) enum Right {
    /// It knows the link.
    Link,
    /// A third party has signed it.
    Token(Box<Grants>),
    /// It was sent here.
    Pass(TokenHash, Box<Pass>),
}

impl Right {
    /// The name that was given with it.
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Self::Token(grants) => grants.name.as_deref(),
            Self::Link | Self::Pass(..) => None,
        }
    }

    /// Who it is to a third party.
    pub(crate) fn identity(&self) -> Option<&str> {
        match self {
            Self::Link => None,
            Self::Token(grants) => grants.identity.as_deref(),
            Self::Pass(_, pass) => pass.card.identity.as_deref(),
        }
    }

    /// What one may do who enters by it, where newcomers only watch or not.
    pub(crate) fn may(&self, watch_only: bool) -> Permissions {
        match self {
            Self::Link if watch_only => WATCH_ONLY,
            Self::Link => Permissions::USUAL,
            Self::Token(grants) => grants.may,
            Self::Pass(_, pass) => pass.may,
        }
    }

    /// Somebody who acts as host has let it in beforehand.
    pub(crate) fn is_invitation(&self) -> bool {
        !matches!(self, Self::Link)
    }

    /// It opens a locked door.
    pub(crate) fn opens_locks(&self) -> bool {
        match self {
            Self::Link => false,
            Self::Token(grants) => grants.may.admin,
            Self::Pass(..) => true,
        }
    }

    /// What its bearer has brought.
    pub(crate) fn card(&self) -> Option<Box<Card>> {
        let card = match self {
            Self::Link => Card::default(),
            Self::Token(grants) => Card {
                identity: grants.identity.clone(),
                metadata: grants.metadata.clone(),
                named: grants.name.is_some(),
                home: None,
            },
            Self::Pass(_, pass) => pass.card.clone(),
        };
        (card != Card::default()).then(|| card.into())
    }
}

pub(crate) fn token_needed() -> Refusal {
    Refusal::new(Reason::TokenNeeded, "Nobody enters here without a token: ask for an invitation of your own.")
}

impl Participant {
    /// Something is kept from it: what it sends and gets has to go through the server, which sees to that.
    pub(crate) fn is_limited(&self) -> bool {
        Permissions { admin: false, ..self.may } != Permissions::USUAL
    }
}

/// Whether this kind of track is among what may be sent.
pub(crate) fn allows(publish: Media, source: Source) -> bool {
    match source {
        Source::Microphone => publish.audio,
        Source::Camera => publish.video,
        Source::Screen | Source::ScreenAudio => publish.screen,
    }
}

impl Room {
    /// Acts as host when it is the host: whoever has come by a token may no more than that says, and in a breakout room it is
    /// by chance who was the first.
    pub(crate) fn can_host(&self, member: &Participant) -> bool {
        let by_link = member.identity().is_none() && self.family.parent.is_none();
        !member.is_guest() && (member.may.admin || by_link)
    }

    /// The host, or somebody who was given its powers.
    pub(crate) fn decides(&self, number: u32) -> bool {
        let decides = |member: &Participant| member.may.admin || (number == self.host && self.can_host(member));
        self.members.get(&number).is_some_and(|member| decides(member))
    }

    pub(crate) fn only_host(&self, number: u32) -> Answer {
        if self.decides(number) {
            return Ok(());
        }
        let detail = if number == self.host {
            "your invitation does not let you decide for others".to_owned()
        } else {
            format!("only the host, `{}`, may do that", identity(self.host))
        };
        Err(Refusal::new(Reason::NotHost, detail))
    }

    /// It may chat, and its application may say something.
    pub(crate) fn only_who_may_speak(&self, number: u32) -> Answer {
        self.only_accepted(number)?;
        if self.members.get(&number).is_some_and(|member| member.may.data) {
            return Ok(());
        }
        Err(Refusal::new(Reason::NotPermitted, "you may read here, and not write"))
    }

    /// Both may connect to each other without the server seeing what goes by.
    pub(crate) fn only_unlimited(&self, pair: [u32; 2]) -> Answer {
        let limited = |number: &u32| self.members.get(number).is_some_and(|member| member.is_limited());
        if pair.iter().any(limited) {
            let detail = "media of one who may not send or get everything goes through the server";
            return Err(Refusal::new(Reason::NotPermitted, detail));
        }
        Ok(())
    }

    /// Somebody is the host from here on. Whom no token keeps from it may do everything.
    pub(crate) fn make_host(&mut self, ctx: &mut Context, now: Now, number: u32) {
        self.host = number;
        if self.members.get(&number).is_some_and(|host| self.can_host(host) && !host.may.admin) {
            self.set_may(ctx, now, number, Permissions::USUAL);
        }
    }

    pub(crate) fn permit(&mut self, ctx: &mut Context, now: Now, number: u32, who: &str, may: Permissions) -> Answer {
        self.only_host(number)?;
        let other = self.anyone(who)?;
        let member = self.members.get(&other);
        if other == self.host && member.is_some_and(|member| member.identity().is_none() && self.can_host(member)) {
            return Err(Refusal::new(Reason::Forbidden, "the host may do everything"));
        }
        if member.is_some_and(|member| member.is_guest()) {
            let detail =
                format!("`{who}` came by WHIP or WHEP: it can be stopped or removed, and not be given anything");
            return Err(Refusal::new(Reason::Forbidden, detail));
        }
        self.set_may(ctx, now, other, may);
        Ok(())
    }

    pub(crate) fn set_watch_only(&mut self, ctx: &mut Context, watch_only: bool) {
        if std::mem::replace(&mut self.watch_only, watch_only) != watch_only {
            self.tell_room(ctx);
        }
    }

    /// What one may do from here on; whatever it does beyond that ends.
    pub(crate) fn set_may(&mut self, ctx: &mut Context, now: Now, number: u32, may: Permissions) {
        let Some(member) = self.members.get_mut(&number) else { return };
        let before = std::mem::replace(&mut member.may, may);
        if before == may {
            return;
        }
        self.changed = true;
        let media = member.who.media.within(may.publish);
        let fewer = std::mem::replace(&mut member.who.media, media) != media;
        let is_in = member.is_in();
        if member.hand.is_some() && may.publish.within(before.publish) != may.publish {
            // It has got what it asked for.
            member.hand = None;
        }
        for source in [Source::Microphone, Source::Camera, Source::Screen, Source::ScreenAudio] {
            if !allows(may.publish, source) {
                self.stop(ctx, number, source, true);
            }
        }
        self.apply_may(ctx, number, before);
        self.tell_participant(ctx, number, 0);
        if fewer && is_in {
            self.tell_room(ctx);
        }
        self.fill_all(ctx);
        self.choose_topology(ctx, now);
    }

    /// Tells the plane what of it concerns the plane.
    fn apply_may(&self, ctx: &mut Context, number: u32, before: Permissions) {
        let Some(member) = self.members.get(&number) else { return };
        let Some(leg) = &member.leg else { return };
        let (endpoint, shard) = (leg.endpoint, leg.shard);
        if before.subscribe && !member.may.subscribe {
            for slot in leg.slots.values() {
                let command = Box::new(Command::Show { endpoint, slot: slot.id, track: None });
                ctx.emit(Output::Media { shard, command });
            }
        }
        if before.data != member.may.data {
            let command = Box::new(Command::Hush { endpoint, hushed: !member.may.data });
            ctx.emit(Output::Media { shard, command });
        }
    }
}
