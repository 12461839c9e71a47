// Remembers, for this tab only and only while its page is being reloaded, that it is in a call: the page then goes
// straight back in. Written when the page goes away and taken out when it comes back, so that a duplicated tab is not
// in a call unasked. The place in the room itself is kept by the SDK's resume token.
import { readJson, session, writeItem } from "./storage.ts";

export interface Stay {
  readonly room: string;
  /** The main room of a breakout room. */
  readonly parent: string | null;
  readonly name: string;
  readonly hideAddress: boolean;
  readonly microphone: boolean;
  readonly camera: boolean;
  /** Unix time in milliseconds: when the call began for us. */
  readonly since: number;
}

const KEY = "tandem.stay";

/** Takes out what the page before this one left; `null` when that was in another room, or in none. */
export function takeStay(room: string): Stay | null {
  const stay = parseStay(readJson(KEY, session()));
  writeItem(KEY, null, session());
  return stay?.room === room ? stay : null;
}

export function leaveStay(stay: Stay): void {
  writeItem(KEY, JSON.stringify(stay), session());
}

export function parseStay(value: unknown): Stay | null {
  if (typeof value !== "object" || value === null) return null;
  const { room, parent, name, hideAddress, microphone, camera, since } = value as Record<string, unknown>;
  if (typeof room !== "string" || typeof name !== "string" || typeof since !== "number") return null;
  return {
    room,
    parent: typeof parent === "string" ? parent : null,
    name,
    hideAddress: hideAddress === true,
    microphone: microphone === true,
    camera: camera === true,
    since,
  };
}
