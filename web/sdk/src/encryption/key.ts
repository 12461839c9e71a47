// The key of a call: 128 bits and more that stand in the fragment of its link, which no browser sends to a server.
//
//   https://…/r/kitchen#key=q83vEjRWeJCrze8SNFZ4kA        base64url (RFC 4648 §5), without padding
//
// From it come keys that have nothing to do with each other: for media, chat, files, what applications say, and captions.
import { fromBase64, toBase64, utf8 } from "../bytes";
import { expand, importBase } from "./sframe";

export type Purpose = "media" | "chat" | "files" | "data" | "captions";

/** A new one, as it stands in a link. */
export function newCallKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(KEY_BYTES));
  return toBase64(bytes).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

/** `null`: it is damaged, or too short to protect anything. */
export function parseCallKey(text: string): Uint8Array<ArrayBuffer> | null {
  if (!/^[\w-]{22,86}$/.test(text)) return null;
  return fromBase64(text.replace(/-/g, "+").replace(/_/g, "/"));
}

/** The base key of RFC 9605 for one purpose. */
export async function baseKey(key: Uint8Array<ArrayBuffer>, purpose: Purpose): Promise<CryptoKey> {
  const info = utf8(`tandem ${purpose} 1`);
  return importBase(await expand(await importBase(key), info, BASE_BYTES));
}

const KEY_BYTES = 16;
const BASE_BYTES = 32;
