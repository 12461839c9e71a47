// Names of rooms and the links that lead to them.

/** What a person typed, as it may stand in a link. The server has the last word on it. */
export function tidyRoomName(typed: string): string {
  return typed
    .normalize("NFC")
    .trim()
    .toLowerCase()
    .replace(/[^\p{L}\p{M}\p{N}_]+/gu, "-")
    .replace(/^-+|-+$/g, "");
}

export function roomLink(origin: string, room: string): string {
  return `${origin}/r/${encodeURIComponent(room)}`;
}

export function callLink(origin: string, room: string): string {
  return `${origin}/call/${encodeURIComponent(room)}`;
}

/** The room a page's path names: `/r/<room>` or `/call/<room>`; `null` when there is none, or it is no text. */
export function roomOfPath(path: string): string | null {
  const [, kind, name, ...rest] = path.split("/");
  if ((kind !== "r" && kind !== "call") || name === undefined || name === "" || rest.some((part) => part !== ""))
    return null;
  try {
    return decodeURIComponent(name);
  } catch {
    return null;
  }
}
