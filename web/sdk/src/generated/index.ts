// Printed from core/api/src/signal.rs by `make generate`. Do not edit.

/** Name of the protocol, offered as WebSocket subprotocol. */
export const SUBPROTOCOL = "tandem.v1";

/**
 * The first frame on a transport.
 */
export type Hello = { "type": "join" } & Join | { "type": "resume" } & Resume | { "type": "look" } & Look;

/**
 * Enter a room as a new participant.
 */
export type Join = {
/**
 * Name of the room as it stands in the link.
 */
room: string,
/**
 * What the others see.
 */
name: string,
/**
 * Only relay candidates of this participant may reach the others.
 */
hide_address: boolean,
/**
 * What the participant brings.
 */
media: Media,
/**
 * How newcomers enter, honoured only from the one who opens the room.
 */
entry: Entry,
/**
 * What this participant sends is encrypted by a key that the server does not have.
 */
encrypted: boolean,
/**
 * A token that was signed for this room (JWT), or the pass of `moved`.
 */
token?: string | null, };

/**
 * Come back after a lost transport.
 */
export type Resume = {
/**
 * From `joined`.
 */
token: string,
/**
 * Number of the last event received; absent when the page was reloaded and knows nothing any more.
 */
last?: number | null,
/**
 * What the participant brings from here on (only read when `last` is absent).
 */
media: Media, };

/**
 * See who is there before entering.
 */
export type Look = {
/**
 * Name of the room as it stands in the link.
 */
room: string, };

/**
 * A numbered request, or an unnumbered note, from a joined client.
 */
export type ClientFrame = { "type": "ack", n: number, } | { "type": "ping", } | { "type": "leave", id: number, } | { "type": "offer", id: number, to: string, epoch: number, sdp: string, } | { "type": "answer", id: number, to: string, epoch: number, sdp: string, } | { "type": "candidate", id: number, to: string, epoch: number, candidate: Candidate, } | { "type": "message", id: number, to?: string | null, data: unknown, } | { "type": "chat", id: number, text: string, to?: string | null, } | { "type": "media", id: number, media: Media, } | { "type": "rename", id: number, name: string, } | { "type": "path", id: number, peer: string, path: PathKind, } | { "type": "ice_servers", id: number, } | { "type": "accept", id: number, participant: string, } | { "type": "decline", id: number, participant: string, } | { "type": "lock", id: number, locked: boolean, } | { "type": "remove", id: number, participant: string, } | { "type": "hand_over", id: number, to: string, } | { "type": "end", id: number, } | { "type": "media_offer", id: number, sdp: string, sends: Array<Sends>, } | { "type": "watch", id: number, slots: Array<Slot>, } | { "type": "media_close", id: number, } | { "type": "hand", id: number, raised: boolean, } | { "type": "mute", id: number, participant: string, source: Source, } | { "type": "lower_hand", id: number, participant: string, } | { "type": "topology", id: number, sfu: boolean, } | { "type": "permit", id: number, participant: string, may: Permissions, } | { "type": "newcomers", id: number, watch_only: boolean, } | { "type": "breakout_open", id: number, rooms: number, assign: boolean, } | { "type": "breakout_close", id: number, } | { "type": "move", id: number, participant: string, from?: string | null, to: string, } | { "type": "caption", id: number, line: number, text: string, done: boolean, language: string, };

/**
 * What the server sends.
 */
export type ServerFrame = Numbered | Note;

/**
 * An event and its number; numbers start at 1 and have no gaps.
 */
export type Numbered = { n: number, } & ({ "type": "joined" } & Joined | { "type": "reply", to: number, } & ({ "outcome": "ok" } | { "outcome": "refused", reason: Reason, detail: string, }) | { "type": "participant_joined", participant: Participant, } | { "type": "participant_changed", participant: Participant, } | { "type": "participant_left", participant: string, reason: LeaveReason, } | { "type": "room_changed", room: Room, } | { "type": "offer", from: string, sdp: string, } | { "type": "answer", from: string, sdp: string, } | { "type": "candidate", from: string, candidate: Candidate, } | { "type": "chat", from: string, text: string,
/**
 * Unix time in milliseconds.
 */
at: number,
/**
 * Sent to you alone.
 */
private: boolean, } | { "type": "message", from: string, data: unknown, } | { "type": "media_answer",
/**
 * Number of the `media_offer`.
 */
to: number, sdp: string, tracks: Array<Sent>, } | { "type": "media_ended", detail: string, } | { "type": "watched", track: string, layers: number, } | { "type": "muted", by: string, source: Source, } | { "type": "moved", room: string, pass: string, } | { "type": "ice_servers", ice_servers: Array<IceServer>, } | { "type": "out", reason: LeaveReason, });

/**
 * About the transport, not the session: never repeated.
 */
export type Note = { "type": "resumed", received: number, } | { "type": "seen" } & Seen | { "type": "pong", } | { "type": "refused", reason: Reason,
/**
 * A sentence for a person.
 */
detail: string, fatal: boolean, } | { "type": "draining", reconnect_ms: number, } | { "type": "speakers", participants: Array<string>, } | { "type": "layers", slots: Array<SlotLayer>, } | { "type": "caption", from: string, line: number, text: string, done: boolean, language: string, };

/**
 * A room through the open door: what entering it would show, and no more.
 */
export type Seen = { door: Door,
/**
 * How many are in; 0 unless `door` is `open`.
 */
participants: number,
/**
 * The first few of them in the order of arrival; none unless `door` is `open`.
 */
names: Array<string>, };

/**
 * How a newcomer would find the room.
 */
export type Door = "empty" | "open" | "ring" | "locked" | "token" | "breakout";

/**
 * What happens in a room.
 */
export type Event = { "type": "joined" } & Joined | { "type": "reply", to: number, } & ({ "outcome": "ok" } | { "outcome": "refused", reason: Reason, detail: string, }) | { "type": "participant_joined", participant: Participant, } | { "type": "participant_changed", participant: Participant, } | { "type": "participant_left", participant: string, reason: LeaveReason, } | { "type": "room_changed", room: Room, } | { "type": "offer", from: string, sdp: string, } | { "type": "answer", from: string, sdp: string, } | { "type": "candidate", from: string, candidate: Candidate, } | { "type": "chat", from: string, text: string,
/**
 * Unix time in milliseconds.
 */
at: number,
/**
 * Sent to you alone.
 */
private: boolean, } | { "type": "message", from: string, data: unknown, } | { "type": "media_answer",
/**
 * Number of the `media_offer`.
 */
to: number, sdp: string, tracks: Array<Sent>, } | { "type": "media_ended", detail: string, } | { "type": "watched", track: string, layers: number, } | { "type": "muted", by: string, source: Source, } | { "type": "moved", room: string, pass: string, } | { "type": "ice_servers", ice_servers: Array<IceServer>, } | { "type": "out", reason: LeaveReason, };

/**
 * Everything a newcomer needs.
 */
export type Joined = {
/**
 * Your own identity within the room.
 */
you: string,
/**
 * For `resume`.
 */
resume_token: string,
/**
 * How long the place is kept after the transport is lost.
 */
resume_ms: number, room: Room,
/**
 * Everyone, you included, in the order of arrival.
 */
participants: Array<Participant>, ice_servers: Array<IceServer>, limits: Limits, };

/**
 * A room as everyone in it sees it.
 */
export type Room = { name: string,
/**
 * Identity of the host.
 */
host: string, locked: boolean, entry: Entry,
/**
 * Nobody's own address may reach another: relay candidates only.
 */
relay_only: boolean,
/**
 * How media goes from here on.
 */
topology: Topology,
/**
 * The host wants it through the server, however few are in.
 */
always_sfu: boolean,
/**
 * Nobody enters without a token.
 */
tokens: boolean,
/**
 * Newcomers send nothing until the host lets them.
 */
watch_only: boolean,
/**
 * What a third party keeps with the room.
 */
metadata?: string,
/**
 * The room this one was made for, as one of its breakout rooms.
 */
parent?: string,
/**
 * The breakout rooms of this room or, in one of them, of its parent.
 */
breakouts?: Array<Breakout>,
/**
 * Unix time in milliseconds.
 */
started_at: number, counts: Counts, };

/**
 * Who is in the session and what media exists, counted by the server. Those who still ring are not in.
 */
export type Counts = { participants: number, audio: number, video: number, screen: number, };

/**
 * One entry of the roster.
 */
export type Participant = { id: string, name: string, media: Media, state: Presence, hide_address: boolean,
/**
 * Says that what it sends is encrypted by a key that the server does not have: of no use to whoever has no key.
 */
encrypted: boolean, client: ClientKind,
/**
 * Raised each time the participant's page starts anew; connections of an earlier epoch are dead.
 */
epoch: number,
/**
 * Unix time in milliseconds: arrival, or acceptance of one who rang. Those who are in first make up the mesh.
 */
joined_at: number,
/**
 * What it may do; absent: everything but what is the host's.
 */
may?: Permissions,
/**
 * Who it is to the third party that has signed its token.
 */
identity?: string,
/**
 * What that third party keeps with it.
 */
metadata?: string,
/**
 * When the hand was raised, Unix time in milliseconds; absent: it is not.
 */
hand?: number,
/**
 * What comes of it through the server.
 */
tracks: Array<Track>, };

/**
 * What a participant sends.
 */
export type Media = { audio: boolean, video: boolean, screen: boolean, };

/**
 * How newcomers enter a room.
 */
export type Entry = "open" | "ring";

/**
 * One ICE candidate as `RTCIceCandidateInit` gives it. An empty `candidate` means end of candidates.
 */
export type Candidate = {
/**
 * The `candidate-attribute` of RFC 8839 §5.1, without `a=`.
 */
candidate: string, sdpMid?: string | null, sdpMLineIndex?: number | null, usernameFragment?: string | null, };

/**
 * The way of a pair's media.
 */
export type PathKind = "p2p" | "relay";

/**
 * What a participant speaks.
 */
export type ClientKind = "web" | "classic" | "whip" | "whep";

/**
 * How present a participant is.
 */
export type Presence = "ringing" | "here" | "away";

/**
 * Why someone is gone.
 */
export type LeaveReason = "left" | "lost" | "removed" | "declined" | "ended" | "too_slow" | "moved" | "replaced";

/**
 * Outcome of a request.
 */
export type Outcome = { "outcome": "ok" } | { "outcome": "refused", reason: Reason, detail: string, };

/**
 * Why something was refused.
 */
export type Reason = "malformed" | "unknown_type" | "too_large" | "out_of_order" | "not_joined" | "already_joined" | "bad_name" | "room_locked" | "room_full" | "server_full" | "too_many" | "resume_expired" | "not_host" | "no_such_participant" | "not_accepted" | "address_hidden" | "bad_sdp" | "bad_candidate" | "stale_epoch" | "draining" | "forbidden" | "token_needed" | "bad_token" | "not_permitted";

/**
 * One element of `RTCConfiguration.iceServers`.
 */
export type IceServer = { urls: Array<string>, username?: string, credential?: string, };

/**
 * What the server accepts from one client.
 */
export type Limits = { frame_bytes: number, sdp_bytes: number, chat_chars: number, name_chars: number, participants: number,
/**
 * Above this many participants a mesh of peer connections is too heavy: media goes through the server, or stops being
 * offered where `sfu` is false.
 */
mesh: number,
/**
 * The server has a media plane: `media_offer` is answered.
 */
sfu: boolean, };

/**
 * How the media of a room goes.
 */
export type Topology = "p2p" | "sfu";

/**
 * What a track shows or lets hear.
 */
export type Source = "microphone" | "camera" | "screen" | "screen_audio";

/**
 * What a participant sends through the server.
 */
export type Track = {
/**
 * `t5`: unique in the room, and never used again.
 */
id: string, source: Source,
/**
 * The host has stopped it: nobody gets it until its owner says in `media` that it is on again.
 */
stopped: boolean, };

/**
 * An m-line of an offer that sends.
 */
export type Sends = { mid: string, source: Source, };

/**
 * A track of the answerer's list: which m-line of the offer has become which track.
 */
export type Sent = { mid: string, track: string, };

/**
 * What is to come by an m-line that receives.
 */
export type Slot = {
/**
 * The m-line.
 */
mid: string,
/**
 * A track of somebody else; nothing comes when absent.
 */
track?: string | null,
/**
 * Height of the tile it is shown in, in device pixels; 0: not visible, and no picture comes.
 */
height: number,
/**
 * Comes before those with less, where not everything fits.
 */
priority: number, };

/**
 * What comes by a slot at the moment.
 */
export type SlotLayer = { mid: string,
/**
 * Absent: nothing, for there is no room for it on the way to you.
 */
layer?: Layer, };

/**
 * One of the layers that a picture is sent in.
 */
export type Layer = {
/**
 * Of simulcast: 0 is the smallest.
 */
stream: number,
/**
 * Of scalable coding, in size.
 */
spatial: number,
/**
 * Of scalable coding, in pictures per second.
 */
temporal: number, };

/**
 * What a participant may do beyond being there.
 */
export type Permissions = {
/**
 * What it may send. The sound of a screen goes with its picture.
 */
publish: Media,
/**
 * It gets what the others send.
 */
subscribe: boolean,
/**
 * It may chat, and its application may say something.
 */
data: boolean,
/**
 * It may do whatever the host may.
 */
admin: boolean, };

/**
 * A room that some of a room have gone to for a while.
 */
export type Breakout = { name: string,
/**
 * Everyone in it, in the order of arrival.
 */
participants: Array<BreakoutMember>, };

/**
 * Somebody in a breakout room.
 */
export type BreakoutMember = {
/**
 * Identity within that room.
 */
id: string, name: string, };
