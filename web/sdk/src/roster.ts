// Who is in the room, as the server tells it. Pure: a state and an event give the next state and what to announce.
import type { Joined, Limits, Participant, Room } from "./generated";
import type { Entrance, RoomEvent } from "./session";
import type { Notice } from "./types";

export interface Roster {
  readonly you: string;
  readonly room: Room;
  /** In the order of arrival, you included. */
  readonly participants: readonly Participant[];
  readonly limits: Limits;
}

export interface Step {
  roster: Roster;
  notices: Notice[];
}

export function enter(before: Roster | null, joined: Joined, how: Entrance): Step {
  const { you, room, participants, limits } = joined;
  const roster: Roster = { you, room, participants, limits };
  const notices: Notice[] = how === "restored" ? [{ kind: "restored" }] : [];
  if (before && how === "restored") {
    const still = new Set(participants.map(({ id }) => id));
    for (const gone of before.participants.filter(({ id }) => !still.has(id))) {
      notices.push({ kind: "left", name: gone.name, participant: gone.id, reason: "lost" });
    }
  }
  return { roster, notices };
}

export function follow(roster: Roster, event: RoomEvent): Step {
  switch (event.type) {
    case "participant_joined":
    case "participant_changed":
      return onParticipant(roster, event.participant);
    case "participant_left": {
      const gone = find(roster, event.participant);
      if (!gone) return { roster, notices: [] };
      const participants = roster.participants.filter((each) => each !== gone);
      const notice: Notice = { kind: "left", name: gone.name, participant: gone.id, reason: event.reason };
      return { roster: { ...roster, participants }, notices: [notice] };
    }
    case "room_changed":
      return { roster: { ...roster, room: event.room }, notices: roomNotices(roster, event.room) };
    default:
      return { roster, notices: [] };
  }
}

export function find(roster: Roster, id: string): Participant | null {
  return roster.participants.find((each) => each.id === id) ?? null;
}

/** Those for whom what is said is: whoever is in, and in an encrypted call has a key. */
export function readersOf({ participants, you }: Roster, isEncrypted: boolean): readonly string[] {
  const others = participants.filter(({ id, state }) => id !== you && state !== "ringing");
  return others.filter(({ encrypted }) => !isEncrypted || encrypted).map(({ id }) => id);
}

/**
 * Those between whom media flows directly: the first so many that were let in and speak our protocol. Everybody computes
 * the same set from the same roster.
 */
export function meshOf(roster: Roster): ReadonlySet<string> {
  const able = ableOf(roster).sort((a, b) => a.joined_at - b.joined_at || numberOf(a) - numberOf(b));
  return new Set(able.slice(0, roster.limits.mesh).map(({ id }) => id));
}

/** Media goes through the server. */
export function isForwarded(roster: Roster): boolean {
  return roster.room.topology === "sfu" && roster.limits.sfu;
}

/** More are in than a mesh carries. */
export function isMeshFull(roster: Roster): boolean {
  return ableOf(roster).length > roster.limits.mesh;
}

function ableOf(roster: Roster): Participant[] {
  return roster.participants.filter(({ state, client }) => state !== "ringing" && client === "web");
}

/** The 7 of `p7`. */
function numberOf({ id }: Participant): number {
  return Number(id.slice(1));
}

function onParticipant(roster: Roster, participant: Participant): Step {
  const before = find(roster, participant.id);
  const participants = before
    ? roster.participants.map((each) => (each === before ? participant : each))
    : [...roster.participants, participant];
  const kind = participant.id === roster.you ? null : change(before, participant);
  const notices: Notice[] = kind ? [{ kind, name: participant.name, participant: participant.id }] : [];
  return { roster: { ...roster, participants }, notices };
}

function change(before: Participant | null, after: Participant): "joined" | "ringing" | "away" | "back" | null {
  if (!before) return after.state === "ringing" ? "ringing" : "joined";
  if (before.state === after.state) return null;
  if (before.state === "ringing") return "joined";
  return after.state === "away" ? "away" : after.state === "here" ? "back" : null;
}

function roomNotices(roster: Roster, room: Room): Notice[] {
  const notices: Notice[] = [];
  if (room.locked !== roster.room.locked) notices.push({ kind: room.locked ? "locked" : "unlocked" });
  if (room.host !== roster.room.host) {
    notices.push({ kind: "host", name: find(roster, room.host)?.name ?? "", you: room.host === roster.you });
  }
  return notices;
}
