//! What goes from one client to another: session descriptions, candidates, messages, lines of text, captions.
//!
//! What may be shown of an address is `policy`'s; whose address is hidden is decided here.

use std::sync::Arc;

use tandem_api::signal::{Candidate, ClientKind, Event, Json, Note, Reason};
use tandem_policy::candidates::{self, Addresses, BadCandidate};
use tandem_policy::text;

use crate::context::{Context, Refusal};
use crate::interface::Now;
use crate::participant::identity;
use crate::room::Room;

type Answer = Result<(), Refusal>;

impl Room {
    pub(crate) fn pass_description(
        &mut self,
        ctx: &mut Context,
        number: u32,
        target: (&str, u32),
        sdp: &str,
        event: impl FnOnce(String, String) -> Event,
    ) -> Answer {
        let other = self.peer(number, target)?;
        self.only_unlimited([number, other])?;
        let sdp = candidates::pass_sdp(sdp, ctx.config.sdp_bytes, self.addresses(ctx, number))
            .map_err(|error| Refusal::new(Reason::BadSdp, error.to_string()))?;
        self.tell(ctx, other, event(identity(number), sdp));
        Ok(())
    }

    pub(crate) fn pass_candidate(
        &mut self,
        ctx: &mut Context,
        number: u32,
        target: (&str, u32),
        candidate: Candidate,
    ) -> Answer {
        let other = self.peer(number, target)?;
        self.only_unlimited([number, other])?;
        for (name, value) in [("sdpMid", &candidate.sdp_mid), ("usernameFragment", &candidate.username_fragment)] {
            if let Some(value) = value.as_ref().filter(|value| value.len() > LABEL_BYTES) {
                let detail = format!("expected a `{name}` of at most {LABEL_BYTES} bytes, got {}", value.len());
                return Err(Refusal::new(Reason::BadCandidate, detail));
            }
        }
        let passed = candidates::pass_candidate(&candidate.candidate, self.addresses(ctx, number));
        let text = passed.map_err(|error| {
            let hidden = matches!(error, BadCandidate::Shown(_));
            let reason = if hidden { Reason::AddressHidden } else { Reason::BadCandidate };
            Refusal::new(reason, error.to_string())
        })?;
        let from = identity(number);
        self.tell(ctx, other, Event::Candidate { from, candidate: Candidate { candidate: text, ..candidate } });
        Ok(())
    }

    pub(crate) fn pass_message(&mut self, ctx: &mut Context, number: u32, to: Option<&str>, data: Json) -> Answer {
        self.only_who_may_speak(number)?;
        let from = identity(number);
        self.pass(ctx, number, to, Event::Message { from, data })
    }

    pub(crate) fn pass_chat(
        &mut self,
        ctx: &mut Context,
        now: Now,
        number: u32,
        line: &str,
        to: Option<&str>,
    ) -> Answer {
        self.only_who_may_speak(number)?;
        let text = text::parse_line(line, ctx.config.chat_chars).map_err(|error| {
            let too_long = matches!(error, text::BadText::TooLong { .. });
            Refusal::new(if too_long { Reason::TooLarge } else { Reason::Malformed }, error.to_string())
        })?;
        let event = Event::Chat { from: identity(number), text, at: now.unix_ms, private: to.is_some() };
        self.pass(ctx, number, to, event)
    }

    /// What one says, in writing, goes to those who are here, and is not kept.
    pub(crate) fn pass_caption(&self, ctx: &mut Context, number: u32, caption: Caption) -> Answer {
        self.only_who_may_speak(number)?;
        let most = ctx.config.chat_chars;
        let Caption { line, text, done, language } = caption;
        let chars = text.chars().count();
        if chars > most {
            let detail = format!("expected a caption of at most {most} characters, got {chars}");
            return Err(Refusal::new(Reason::TooLarge, detail));
        }
        if language.len() > LANGUAGE_BYTES || !language.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'-') {
            let detail = format!("expected a `language` of at most {LANGUAGE_BYTES} letters, digits and `-` (BCP 47)");
            return Err(Refusal::new(Reason::Malformed, detail));
        }
        let from = identity(number);
        let others = self.members.iter().filter(|(other, member)| **other != number && member.is_in());
        for transport in others.filter_map(|(_, member)| member.transport()) {
            let (from, text, language) = (from.clone(), text.clone(), language.clone());
            ctx.note(transport, Note::Caption { from, line, text, done, language });
        }
        Ok(())
    }

    /// To one, or to everyone else who has been let in.
    fn pass(&mut self, ctx: &mut Context, number: u32, to: Option<&str>, event: Event) -> Answer {
        if let Some(to) = to {
            let other = self.other(number, to)?;
            self.tell(ctx, other, event);
            return Ok(());
        }
        self.only_accepted(number)?;
        let event = Arc::new(event);
        for (other, member) in self.members.iter_mut().filter(|(other, member)| **other != number && member.is_in()) {
            if !member.tell(ctx, Arc::clone(&event)) && !self.overflowed.contains(other) {
                self.overflowed.push(*other);
            }
        }
        Ok(())
    }

    /// The other end of a peer connection, in its present life.
    fn peer(&self, number: u32, (to, epoch): (&str, u32)) -> Result<u32, Refusal> {
        let other = self.other(number, to)?;
        let Some(member) = self.members.get(&other) else { return Ok(other) };
        if member.who.client == ClientKind::Classic {
            let detail = format!("`{to}` speaks the classic vocabulary, which has `message` only");
            return Err(Refusal::new(Reason::Forbidden, detail));
        }
        if member.who.epoch != epoch {
            let detail = format!("expected epoch {} of `{to}`, got {epoch}", member.who.epoch);
            return Err(Refusal::new(Reason::StaleEpoch, detail));
        }
        Ok(other)
    }

    /// What may be shown of this one's addresses.
    fn addresses(&self, ctx: &Context, number: u32) -> Addresses {
        let hides = self.members.get(&number).is_some_and(|member| member.who.hide_address);
        if hides || self.is_relay_only(ctx) { Addresses::Hidden } else { Addresses::Shown }
    }
}

/// As it came.
pub(crate) struct Caption {
    pub line: u32,
    pub text: String,
    pub done: bool,
    pub language: String,
}

const LABEL_BYTES: usize = 256;
const LANGUAGE_BYTES: usize = 35;
