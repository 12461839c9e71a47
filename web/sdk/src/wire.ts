// Server frames are unknown until they have been looked at here: shape first, then the generated types.
import type { Breakout, BreakoutMember, Event, Note, Participant, Permissions, Room } from "./generated";

/** A frame that was read. An event of a type we do not know still has its number. */
export type Incoming =
  { kind: "event"; n: number; event: Event | null } | { kind: "note"; note: Note } | { kind: "bad"; why: string };

/** Reads one frame, given as JSON text or as what JSON text became. */
export function parseServerFrame(frame: unknown): Incoming {
  let value: unknown = frame;
  if (typeof frame === "string") {
    try {
      value = JSON.parse(frame);
    } catch {
      return { kind: "bad", why: "not JSON" };
    }
  }
  if (!isRecord(value)) return { kind: "bad", why: "not an object" };
  const type = value["type"];
  if (typeof type !== "string") return { kind: "bad", why: "no `type`" };
  return "n" in value ? parseEvent(type, value) : parseNote(type, value);
}

function parseEvent(type: string, value: Fields): Incoming {
  const n = value["n"];
  if (!isCount(n) || n === 0) return { kind: "bad", why: "`n` is not a number from 1" };
  const check = Object.hasOwn(EVENTS, type) ? EVENTS[type as Event["type"]] : null;
  if (!check) return { kind: "event", n, event: null };
  if (!check(value)) return { kind: "bad", why: `\`${type}\` lacks a field or has a wrong one` };
  return { kind: "event", n, event: value as unknown as Event };
}

function parseNote(type: string, value: Fields): Incoming {
  const check = Object.hasOwn(NOTES, type) ? NOTES[type as Note["type"]] : null;
  if (!check) return { kind: "bad", why: `no note is called \`${type}\`` };
  if (!check(value)) return { kind: "bad", why: `\`${type}\` lacks a field or has a wrong one` };
  return { kind: "note", note: value as unknown as Note };
}

type Fields = Record<string, unknown>;
type Check = (value: unknown) => boolean;

export function isRecord(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** What another browser has said beside media and files; `null`: it is nothing we read. */
export function parseControl(text: unknown): Fields | null {
  if (typeof text !== "string" || text.length > MAX_CONTROL) return null;
  try {
    const value: unknown = JSON.parse(text);
    return isRecord(value) ? value : null;
  } catch {
    return null;
  }
}

const MAX_CONTROL = 64 * 1024;

const isText: Check = (value) => typeof value === "string";
const isFlag: Check = (value) => typeof value === "boolean";
const isAny: Check = () => true;
function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}
const maybe =
  (check: Check): Check =>
  (value) =>
    value === undefined || value === null || check(value);
const optional =
  (check: Check): Check =>
  (value) =>
    value === undefined || check(value);
const listOf =
  (check: Check): Check =>
  (value) =>
    Array.isArray(value) && value.every(check);
const oneOf =
  (...words: string[]): Check =>
  (value) =>
    typeof value === "string" && words.includes(value);
const shape =
  <T>(fields: { [K in keyof T]-?: Check }): Check =>
  (value) =>
    isRecord(value) && (Object.entries(fields) as [string, Check][]).every(([name, check]) => check(value[name]));

const isMedia = shape({ audio: isFlag, video: isFlag, screen: isFlag });
const isPermissions = shape<Permissions>({ publish: isMedia, subscribe: isFlag, data: isFlag, admin: isFlag });
const isParticipant = shape<Participant>({
  id: isText,
  name: isText,
  media: isMedia,
  state: oneOf("ringing", "here", "away"),
  hide_address: isFlag,
  encrypted: isFlag,
  client: isText,
  epoch: isCount,
  joined_at: isCount,
  may: optional(isPermissions),
  identity: optional(isText),
  metadata: optional(isText),
  hand: optional(isCount),
  tracks: listOf(shape({ id: isText, source: isText, stopped: isFlag })),
});
const isBreakout = shape<Breakout>({
  name: isText,
  participants: listOf(shape<BreakoutMember>({ id: isText, name: isText })),
});
const isRoom = shape<Room>({
  name: isText,
  host: isText,
  locked: isFlag,
  entry: oneOf("open", "ring"),
  relay_only: isFlag,
  topology: oneOf("p2p", "sfu"),
  always_sfu: isFlag,
  tokens: isFlag,
  watch_only: isFlag,
  metadata: optional(isText),
  parent: optional(isText),
  breakouts: optional(listOf(isBreakout)),
  started_at: isCount,
  counts: shape({ participants: isCount, audio: isCount, video: isCount, screen: isCount }),
});
const isIceServer = shape({ urls: listOf(isText), username: maybe(isText), credential: maybe(isText) });
const isCandidate = shape({
  candidate: isText,
  sdpMid: maybe(isText),
  sdpMLineIndex: maybe(isCount),
  usernameFragment: maybe(isText),
});
const isLimits = shape({
  frame_bytes: isCount,
  sdp_bytes: isCount,
  chat_chars: isCount,
  name_chars: isCount,
  participants: isCount,
  mesh: isCount,
  sfu: isFlag,
});
const isDoor = oneOf("empty", "open", "ring", "locked", "token", "breakout");
const isDescription = shape({ from: isText, sdp: isText });

const EVENTS: Record<Event["type"], Check> = {
  joined: shape({
    you: isText,
    resume_token: isText,
    resume_ms: isCount,
    room: isRoom,
    participants: listOf(isParticipant),
    ice_servers: listOf(isIceServer),
    limits: isLimits,
  }),
  reply: (value) =>
    shape({ to: isCount, outcome: oneOf("ok") })(value) ||
    shape({ to: isCount, outcome: oneOf("refused"), reason: isText, detail: isText })(value),
  participant_joined: shape({ participant: isParticipant }),
  participant_changed: shape({ participant: isParticipant }),
  participant_left: shape({ participant: isText, reason: isText }),
  room_changed: shape({ room: isRoom }),
  offer: isDescription,
  answer: isDescription,
  candidate: shape({ from: isText, candidate: isCandidate }),
  chat: shape({ from: isText, text: isText, at: isCount, private: isFlag }),
  message: shape({ from: isText, data: isAny }),
  ice_servers: shape({ ice_servers: listOf(isIceServer) }),
  media_answer: shape({ to: isCount, sdp: isText, tracks: listOf(shape({ mid: isText, track: isText })) }),
  media_ended: shape({ detail: isText }),
  watched: shape({ track: isText, layers: isCount }),
  muted: shape({ by: isText, source: isText }),
  moved: shape({ room: isText, pass: isText }),
  out: shape({ reason: isText }),
};

const NOTES: Record<Note["type"], Check> = {
  resumed: shape({ received: isCount }),
  seen: shape({ door: isDoor, participants: isCount, names: listOf(isText) }),
  pong: isRecord,
  refused: shape({ reason: isText, detail: isText, fatal: isFlag }),
  draining: shape({ reconnect_ms: isCount }),
  speakers: shape({ participants: listOf(isText) }),
  layers: shape({ slots: listOf(isRecord) }),
  caption: shape({ from: isText, line: isCount, text: isText, done: isFlag, language: isText }),
};
