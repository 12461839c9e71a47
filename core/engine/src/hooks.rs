//! What third parties hear of, if they want to.

use tandem_api::signal::{self, LeaveReason};

use crate::context::Context;
use crate::forwarding::name;
use crate::interface::{Happening, Hook, Output};
use crate::leg::Sent;
use crate::room::Room;

impl Room {
    pub(crate) fn hook(&self, ctx: &mut Context, what: impl FnOnce() -> Happening) {
        if ctx.config.hooks {
            let hook = Hook { at: ctx.unix_ms, room: self.view(ctx), session: self.session(), what: what() };
            ctx.emit(Output::Hook(Box::new(hook)));
        }
    }

    pub(crate) fn hook_joined(&self, ctx: &mut Context, number: u32) {
        if let Some(member) = self.members.get(&number) {
            self.hook(ctx, || Happening::ParticipantJoined { participant: member.view(number) });
        }
    }

    pub(crate) fn hook_left(&self, ctx: &mut Context, participant: signal::Participant, reason: LeaveReason) {
        self.hook(ctx, || Happening::ParticipantLeft { participant, reason });
    }

    /// Those of one who is there.
    pub(crate) fn hook_published<'a>(&self, ctx: &mut Context, number: u32, tracks: impl Iterator<Item = &'a Sent>) {
        if let Some(member) = self.members.get(&number).filter(|_| ctx.config.hooks) {
            for sent in tracks {
                self.hook(ctx, || Happening::TrackPublished { participant: member.view(number), track: view(sent) });
            }
        }
    }

    pub(crate) fn hook_unpublished<'a>(
        &self,
        ctx: &mut Context,
        participant: &signal::Participant,
        tracks: impl Iterator<Item = &'a Sent>,
    ) {
        for sent in tracks {
            self.hook(ctx, || Happening::TrackUnpublished { participant: participant.clone(), track: view(sent) });
        }
    }
}

fn view(sent: &Sent) -> signal::Track {
    signal::Track { id: name(sent.number), source: sent.source, stopped: sent.stopped }
}
