// Remembers, for this tab only, that it is in a call, so that a reloaded page goes straight back in.
// The place in the room itself is kept by the SDK's resume token.
import { readJson, session, writeItem } from "./storage.ts";

export interface Stay {
  readonly room: string;
  readonly name: string;
  readonly hideAddress: boolean;
  readonly microphone: boolean;
  readonly camera: boolean;
  /** Unix time in milliseconds: when the call began for us. */
  readonly since: number;
}

const KEY = "tandem.stay";

export function readStay(room: string): Stay | null {
  const stay = parseStay(readJson(KEY, session()));
  return stay?.room === room ? stay : null;
}

export function rememberStay(stay: Stay): void {
  writeItem(KEY, JSON.stringify(stay), session());
}

export function forgetStay(): void {
  writeItem(KEY, null, session());
}

export function parseStay(value: unknown): Stay | null {
  if (typeof value !== "object" || value === null) return null;
  const { room, name, hideAddress, microphone, camera, since } = value as Record<string, unknown>;
  if (typeof room !== "string" || typeof name !== "string" || typeof since !== "number") return null;
  return {
    room,
    name,
    hideAddress: hideAddress === true,
    microphone: microphone === true,
    camera: camera === true,
    since,
  };
}
