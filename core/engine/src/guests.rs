//! Participants without signalling of ours: who publishes by WHIP (RFC 9725), and who watches by WHEP. They are in for as long
//! as their connection to the media plane is, and on the roster like everybody else.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::net::IpAddr;

use tandem_api::signal::{ClientKind, Entry, LeaveReason, Media, Reason, Source};
use tandem_media as media;
use tandem_policy::names::PersonName;
use tandem_sdp::{Attribute, Direction, Fragment, Kind, Session as Description};

use crate::awaited;
use crate::context::{Context, Refusal, deadline};
use crate::engine::Engine;
use crate::interface::{Command, Guest, Now, Reply, Way};
use crate::leg::bad_sdp;
use crate::participant::{Admission, Keys, Link, Pace, Participant, Who, identity};
use crate::rights::{Right, allows};
use crate::room::Room;
use crate::session::Session;
use crate::timers::Timer;

impl Engine {
    pub(crate) fn connect_guest(&mut self, now: Now, guest: Guest) -> Reply {
        self.try_connect(now, guest).unwrap_or_else(refused)
    }

    fn try_connect(&mut self, now: Now, guest: Guest) -> Result<Reply, Refusal> {
        if self.draining.is_some() {
            return Err(Refusal::new(Reason::Draining, "The server is going down: try again in a moment."));
        }
        if !self.ctx.planes.are_there() {
            return Err(Refusal::new(Reason::Forbidden, "this server forwards no media"));
        }
        let right = self.right(now, &guest.room, None, guest.grants.clone())?;
        if guest.way == Way::Whep && !right.may(false).subscribe {
            return Err(Refusal::new(Reason::NotPermitted, "the token does not let you get what others send"));
        }
        let name = right.name().unwrap_or(&guest.name);
        let name = PersonName::parse(name).map_err(|error| Refusal::new(Reason::BadName, error.to_string()))?;
        let key = self.room_for(now, &guest.room, &right)?;
        let room = self.rooms.room_mut(key).ok_or_else(no_room)?;
        let connected = room.connect_guest(&mut self.ctx, now, (name.into_string(), &guest), &right);
        self.settle(now, key);
        while let Some(seat) = self.ctx.planes.awaited.superfluous() {
            let Some(room) = self.rooms.room_mut(seat.room) else { break };
            room.depart(&mut self.ctx, now, seat.number, LeaveReason::Lost);
            self.settle(now, seat.room);
        }
        connected
    }

    /// A request about one that is there: `token` names it.
    pub(crate) fn ask_guest(
        &mut self,
        now: Now,
        token: &str,
        act: impl FnOnce(&mut Room, &mut Context, u32) -> Reply,
    ) -> Reply {
        let Some((seat, _)) = self.ctx.tokens.find(token) else { return Reply::NotFound };
        let Some(room) = self.rooms.room_mut(seat.room) else { return Reply::NotFound };
        if !room.members.get(&seat.number).is_some_and(|member| member.is_guest()) {
            return Reply::NotFound;
        }
        let reply = act(room, &mut self.ctx, seat.number);
        self.settle(now, seat.room);
        reply
    }

    pub(crate) fn handle_guest(&mut self, now: Now, command: Command) -> Reply {
        match command {
            Command::Connect(guest) => self.connect_guest(now, *guest),
            Command::Trickle { token, fragment, version } => self.ask_guest(now, &token, |room, ctx, number| {
                room.trickle(ctx, now, number, (&fragment, version)).unwrap_or_else(refused)
            }),
            Command::Disconnect { token } => self.ask_guest(now, &token, |room, ctx, number| {
                room.depart(ctx, now, number, LeaveReason::Left);
                Reply::Done
            }),
            _ => Reply::NotFound,
        }
    }
}

impl Room {
    fn connect_guest(
        &mut self,
        ctx: &mut Context,
        now: Now,
        (name, guest): (String, &Guest),
        right: &Right,
    ) -> Result<Reply, Refusal> {
        let offer = tandem_sdp::parse(&guest.sdp).map_err(|error| bad_sdp(&error))?;
        let mut sends = sends(&offer, guest.way)?;
        if guest.way == Way::Whip {
            let publish = right.may(self.watch_only && self.host != 0).publish;
            sends.retain(|_, source| allows(publish, *source));
            if sends.is_empty() {
                return Err(Refusal::new(Reason::NotPermitted, "you may not send any of what you offer here"));
            }
        }
        let media = Media {
            audio: sends.values().any(|source| *source == Source::Microphone),
            video: sends.values().any(|source| *source == Source::Camera),
            screen: false,
        };
        let client = match guest.way {
            Way::Whip => ClientKind::Whip,
            Way::Whep => ClientKind::Whep,
        };
        let (number, token) = self.seat_guest(ctx, now, (name, client, media), guest, right)?;
        match self.negotiate(ctx, now, number, &guest.sdp, &sends) {
            Ok((answer, _)) => {
                self.fill(ctx, number);
                self.make_room(ctx, now);
                let (participant, user) = (identity(number), self.user(number));
                Ok(Reply::Connected { token, participant, answer, version: 1, user })
            }
            Err(refusal) => {
                self.depart(ctx, now, number, LeaveReason::Left);
                Err(refusal)
            }
        }
    }

    /// A place for one whose connection is awaited.
    fn seat_guest(
        &mut self,
        ctx: &mut Context,
        now: Now,
        (name, client, media): (String, ClientKind, Media),
        guest: &Guest,
        right: &Right,
    ) -> Result<(u32, String), Refusal> {
        if self.host != 0 && self.rules.entry == Entry::Ring && !right.is_invitation() {
            let detail = "here the host lets everybody in by hand: nobody enters by WHIP or WHEP";
            return Err(Refusal::new(Reason::Forbidden, detail));
        }
        let number = self.place(ctx, guest.address, right)?;
        let twin = right.identity().and_then(|identity| self.who_is(identity));
        if !ctx.planes.awaited.has_room_for(guest.address) {
            let detail = "too many connections have not come about yet: try again in a moment";
            return Err(Refusal::new(Reason::TooMany, detail));
        }
        let may = right.may(self.watch_only && self.host != 0);
        if self.members.is_empty() {
            self.begin(ctx, now, number, Entry::Open);
        }
        let (token, hash) = ctx.tokens.issue(self.seat(number));
        let until = deadline(now, ctx.config.resume.min(awaited::PATIENCE));
        let seat = self.seat(number);
        ctx.timers.set(until, Timer::Away(seat));
        let awaited = Some(ctx.planes.awaited.admit(guest.address, seat));
        let who = Who { name, media, hide_address: true, encrypted: false, client, epoch: 1, joined_at: now.unix_ms };
        let participant = Participant {
            who,
            may,
            card: right.card(),
            admission: Admission::In,
            link: Link::Media { until: Some(until), awaited },
            host: "".into(),
            port: None,
            session: Session::default(),
            keys: Keys { current: hash, previous: None },
            pace: Pace::new(now.instant),
            paths: BTreeMap::new(),
            renewal: None,
            hand: None,
            leg: None,
        };
        self.members.insert(number, Box::new(participant));
        ctx.stats.participants += 1;
        ctx.stats.joins += 1;
        self.announce(ctx, now, number);
        if let Some(twin) = twin {
            self.depart(ctx, now, twin, LeaveReason::Replaced);
        }
        Ok((number, token))
    }

    // --- places in a room that is full ---

    /// Whether there is an address from which so many are awaited that one of them gives way to one who comes from this one.
    pub(crate) fn has_superfluous(&self, address: IpAddr) -> bool {
        let crowds = self.crowds();
        let own = crowds.get(&awaited::household(address)).map_or(0, |(count, _)| *count);
        crowds.values().any(|(count, _)| *count > own + 1)
    }

    /// Takes the place of whoever is superfluous, for the one who has come.
    pub(crate) fn make_room(&mut self, ctx: &mut Context, now: Now) {
        let most = usize::try_from(self.most_participants(ctx)).unwrap_or(usize::MAX);
        while self.members.len() > most {
            let most_crowded = self.crowds().into_values().max_by_key(|(count, first)| (*count, Reverse(*first)));
            let Some((_, number)) = most_crowded else { return };
            self.depart(ctx, now, number, LeaveReason::Lost);
        }
    }

    /// Of each address, how many are awaited, and the first of them.
    fn crowds(&self) -> BTreeMap<IpAddr, (usize, u32)> {
        let mut crowds = BTreeMap::new();
        for (number, member) in &self.members {
            if let Link::Media { awaited: Some(ticket), .. } = &member.link {
                crowds.entry(ticket.household).or_insert((0, *number)).0 += 1;
            }
        }
        crowds
    }

    /// What a client tells later: candidates, which are of no use to us who are found anyway; other credentials restart ICE.
    fn trickle(
        &mut self,
        ctx: &mut Context,
        now: Now,
        number: u32,
        (text, version): (&str, Option<u32>),
    ) -> Result<Reply, Refusal> {
        let fragment = Fragment::parse(text).map_err(|error| bad_sdp(&error))?;
        let leg = self.members.get(&number).and_then(|member| member.leg.as_ref());
        let leg = leg.ok_or_else(|| Refusal::new(Reason::NoSuchParticipant, "the connection is over"))?;
        if version.is_some_and(|version| version != leg.version) {
            return Ok(Reply::Outdated);
        }
        let restart = fragment.credentials.filter(|new| !leg.is_known_by(new));
        let Some(credentials) = restart else { return Ok(Reply::Done) };
        let Some(mut offer) = leg.last_offer().cloned() else { return Ok(Reply::Done) };
        for attribute in offer.media.iter_mut().flat_map(|line| &mut line.attributes).chain(&mut offer.attributes) {
            match attribute {
                Attribute::IceUfrag(ufrag) => *ufrag = credentials.ufrag.clone(),
                Attribute::IcePwd(password) => *password = credentials.pwd.clone(),
                _ => {}
            }
        }
        let sends: BTreeMap<String, Source> = leg.tracks.iter().map(|(mid, sent)| (mid.clone(), sent.source)).collect();
        self.answer(ctx, now, number, &offer, &sends)?;
        let leg = self.members.get_mut(&number).and_then(|member| member.leg.as_mut());
        let Some((leg, fragment)) = leg.and_then(|leg| leg.fragment().map(|fragment| (leg, fragment))) else {
            return Ok(Reply::Done);
        };
        leg.version = leg.version.saturating_add(1);
        Ok(Reply::Restarted { fragment, version: leg.version })
    }

    /// Its connection stands.
    pub(crate) fn on_guest_connected(&mut self, ctx: &mut Context, number: u32) {
        let seat = self.seat(number);
        if let Some(Link::Media { awaited, .. }) = self.members.get_mut(&number).map(|member| &mut member.link)
            && let Some(ticket) = awaited.take()
        {
            ctx.planes.awaited.dismiss(ticket, seat);
        }
        self.on_guest_found(ctx, number);
    }

    /// There is a path to it. As long as it is awaited, that alone does not count: whoever checks paths need not go on.
    pub(crate) fn on_guest_found(&mut self, ctx: &mut Context, number: u32) {
        let seat = self.seat(number);
        if let Some(Link::Media { until, awaited: None }) = self.members.get_mut(&number).map(|member| &mut member.link)
            && let Some(until) = until.take()
        {
            ctx.timers.cancel(until, Timer::Away(seat));
        }
    }

    /// No path to it answers any more: it has a while to come back.
    pub(crate) fn on_guest_lost(&mut self, ctx: &mut Context, now: Now, number: u32) {
        let seat = self.seat(number);
        let at = deadline(now, ctx.config.resume);
        let Some(Link::Media { until, .. }) = self.members.get_mut(&number).map(|member| &mut member.link) else {
            return;
        };
        if until.is_none() {
            *until = Some(at);
            ctx.timers.set(at, Timer::Away(seat));
        }
    }

    // --- what those get who do not choose ---

    /// Tracks have come or gone, or somebody else speaks: whoever watches by WHEP is shown what is best.
    pub(crate) fn fill_all(&mut self, ctx: &mut Context) {
        let watching = self.members.iter().filter(|(_, member)| member.who.client == ClientKind::Whep);
        for number in watching.map(|(number, _)| *number).collect::<Vec<_>>() {
            self.fill(ctx, number);
        }
    }

    /// Shared screens first, then whoever has spoken last, then in the order of arrival.
    fn fill(&mut self, ctx: &mut Context, number: u32) {
        let Some(member) = self.members.get(&number).filter(|member| member.who.client == ClientKind::Whep) else {
            return;
        };
        let Some(leg) = member.leg.as_ref() else { return };
        let mut sound = self.ranked(number, true).into_iter();
        let mut pictures = self.ranked(number, false).into_iter();
        for slot in leg.slots.values() {
            let track = if slot.kind == Kind::Audio { sound.next() } else { pictures.next() };
            let want = media::Want { height: WHOLE, priority: 0, most: None };
            self.show(ctx, leg, (slot.id, want), track);
        }
    }
}

impl Participant {
    /// Without signalling.
    pub(crate) fn is_guest(&self) -> bool {
        matches!(self.link, Link::Media { .. })
    }
}

/// What the m-lines of an offer are: the first of each kind is enough, and whoever publishes does not watch.
fn sends(offer: &Description, way: Way) -> Result<BTreeMap<String, Source>, Refusal> {
    let mut sends = BTreeMap::new();
    for section in offer.sections() {
        let source = match section.media.kind {
            Kind::Audio => Source::Microphone,
            Kind::Video => Source::Camera,
            _ => continue,
        };
        let Some(mid) = section.mid() else { continue };
        let fits = match way {
            Way::Whip => section.direction().sends(),
            Way::Whep => section.direction() == Direction::RecvOnly,
        };
        if fits && way == Way::Whip {
            sends.insert(mid.as_str().to_owned(), source);
        } else if !fits && section.direction() != Direction::Inactive {
            let expected = if way == Way::Whip { "sendonly" } else { "recvonly" };
            let detail = format!("expected m-lines that are `{expected}`, got another at `a=mid:{mid}`");
            return Err(Refusal::new(Reason::BadSdp, detail));
        }
    }
    if way == Way::Whip && sends.is_empty() {
        return Err(Refusal::new(Reason::BadSdp, "expected an m-line of audio or video with an `a=mid` that sends"));
    }
    Ok(sends)
}

pub(crate) fn refused(refusal: Refusal) -> Reply {
    Reply::Refused { reason: refusal.reason, detail: refusal.detail }
}

fn no_room() -> Refusal {
    Refusal::new(Reason::NoSuchParticipant, "the room is gone")
}

/// As large as it comes.
const WHOLE: u16 = 2_160;
