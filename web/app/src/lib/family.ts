// Rooms that belong together, as people count them: the main room, room 1, room 2…
import type { Catalogue } from "../i18n/index.svelte.ts";
import type { Room } from "./sdk.ts";

/** Which of the breakout rooms that is, from 1; `null`: it is the main room, or none of the family. */
export function numberOf(room: Room | null, name: string): number | null {
  const at = (room?.breakouts ?? []).findIndex((breakout) => breakout.name === name);
  return at === -1 ? null : at + 1;
}

/** The room to which the breakout rooms belong. */
export function mainRoom(room: Room): string {
  return room.parent ?? room.name;
}

/** What that room is called by whoever is in the family. */
export function roomWord(room: Room | null, name: string, t: Catalogue["family"]): string {
  const number = numberOf(room, name);
  return number === null ? t.main : t.room(number);
}

/** Where somebody who went from here is now, if it can be told: by name, for elsewhere they have another identity. */
export function whereIs(room: Room, name: string): string | null {
  const elsewhere = (room.breakouts ?? []).filter((breakout) => breakout.name !== room.name);
  const found = elsewhere.filter(({ participants }) => participants.some((each) => each.name === name));
  if (found.length === 1) return found[0]?.name ?? null;
  return found.length === 0 && room.parent !== undefined ? room.parent : null;
}
