// The rooms this browser was in, newest first, each with the key of its calls where there is one. Kept here only; no server
// knows the list.
import { readJson, writeItem } from "./storage.ts";

export interface RecentRoom {
  readonly name: string;
  /** Unix time in milliseconds. */
  readonly at: number;
  /** Of a call that is encrypted from end to end: without it the way back would lead nowhere. */
  readonly key?: string;
}

const KEY = "tandem.recent";
const KEPT = 5;

export function recentRooms(): RecentRoom[] {
  return parseRecent(readJson(KEY));
}

export function rememberRoom(name: string, at: number, key: string | null): void {
  const others = recentRooms().filter((room) => room.name !== name);
  writeItem(KEY, JSON.stringify([{ name, at, ...(key === null ? {} : { key }) }, ...others].slice(0, KEPT)));
}

export function forgetRoom(name: string): RecentRoom[] {
  const left = recentRooms().filter((room) => room.name !== name);
  writeItem(KEY, left.length === 0 ? null : JSON.stringify(left));
  return left;
}

export function parseRecent(value: unknown): RecentRoom[] {
  if (!Array.isArray(value)) return [];
  return value.filter(isRecentRoom).slice(0, KEPT);
}

function isRecentRoom(value: unknown): value is RecentRoom {
  if (typeof value !== "object" || value === null) return false;
  const { name, at, key } = value as Record<string, unknown>;
  return (
    (key === undefined || (typeof key === "string" && key.length <= 100)) &&
    typeof name === "string" &&
    name.length > 0 &&
    name.length <= 200 &&
    typeof at === "number" &&
    Number.isFinite(at)
  );
}
