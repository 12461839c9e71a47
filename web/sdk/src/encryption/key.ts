// The key of a call: 128 bits and more that stand in the fragment of its link, which no browser sends to a server.
//
//   https://…/r/kitchen#key=q83vEjRWeJCrze8SNFZ4kA        base64url (RFC 4648 §5), without padding
//
// From it come keys that have nothing to do with each other: for media, chat, files, and what applications say.
import { expand, importBase } from "./sframe";

export type Purpose = "media" | "chat" | "files" | "data";

/** A new one, as it stands in a link. */
export function newCallKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(KEY_BYTES));
  return btoa(String.fromCharCode(...bytes))
    .replace(/\+/g, "-")
    .replace(/\//g, "_")
    .replace(/=+$/, "");
}

/** `null`: it is damaged, or too short to protect anything. */
export function parseCallKey(text: string): Uint8Array<ArrayBuffer> | null {
  if (!/^[\w-]{22,86}$/.test(text)) return null;
  try {
    const bytes = atob(text.replace(/-/g, "+").replace(/_/g, "/"));
    return Uint8Array.from(bytes, (character) => character.charCodeAt(0));
  } catch {
    return null;
  }
}

/** The base key of RFC 9605 for one purpose. */
export async function baseKey(key: Uint8Array<ArrayBuffer>, purpose: Purpose): Promise<CryptoKey> {
  const info = new TextEncoder().encode(`tandem ${purpose} 1`);
  return importBase(await expand(await importBase(key), info, BASE_BYTES));
}

const KEY_BYTES = 16;
const BASE_BYTES = 32;
