// The rooms this browser was in, newest first. Kept here only; no server knows the list.
import { readJson, writeItem } from "./storage.ts";

export interface RecentRoom {
  readonly name: string;
  /** Unix time in milliseconds. */
  readonly at: number;
}

const KEY = "tandem.recent";
const KEPT = 5;

export function recentRooms(): RecentRoom[] {
  return parseRecent(readJson(KEY));
}

export function rememberRoom(name: string, at: number): void {
  const others = recentRooms().filter((room) => room.name !== name);
  writeItem(KEY, JSON.stringify([{ name, at }, ...others].slice(0, KEPT)));
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
  const { name, at } = value as Record<string, unknown>;
  return (
    typeof name === "string" && name.length > 0 && name.length <= 200 && typeof at === "number" && Number.isFinite(at)
  );
}
