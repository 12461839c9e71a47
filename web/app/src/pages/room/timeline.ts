// Chat lines and files in one row. A file has no time of its own: it stands where it was first seen.
import type { ChatLine, FileTransfer } from "../../lib/sdk.ts";

export type Entry =
  | {
      readonly kind: "line";
      readonly key: string;
      readonly at: number;
      readonly line: ChatLine;
      readonly follows: boolean;
    }
  | { readonly kind: "file"; readonly key: string; readonly at: number; readonly file: FileTransfer };

/** Lines of one person within this time stand under one name. */
const FOLLOWS_MS = 120_000;

/** `seen` is filled with the time of each file met for the first time. */
export function timeline(
  lines: readonly ChatLine[],
  files: readonly FileTransfer[],
  seen: Map<string, number>,
  now: number,
): Entry[] {
  const entries: Entry[] = lines.map((line) => ({
    kind: "line",
    key: `line/${line.id}`,
    at: line.at,
    line,
    follows: false,
  }));
  for (const file of files) {
    const at = seen.get(file.id) ?? now;
    seen.set(file.id, at);
    entries.push({ kind: "file", key: `file/${file.id}`, at, file });
  }
  entries.sort((a, b) => a.at - b.at);
  return entries.map((entry, index) => (follows(entries[index - 1], entry) ? { ...entry, follows: true } : entry));
}

function follows(before: Entry | undefined, entry: Entry): boolean {
  if (before?.kind !== "line" || entry.kind !== "line") return false;
  return (
    before.line.from === entry.line.from &&
    before.line.private === entry.line.private &&
    entry.at - before.at < FOLLOWS_MS
  );
}
