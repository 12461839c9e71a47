// The token of an invitation, in the part of the link that no browser sends to a server: `/r/room#token=…`. It stays in the
// address of this tab, where a reload finds it; it is stored nowhere, and no link that is handed on has it.
import { keyOf, withKey } from "./encryption.ts";

export function tokenOf(hash: string): string | null {
  const token = new URLSearchParams(hash.replace(/^#/, "")).get("token");
  return token === "" ? null : token;
}

/** The address of this tab in another room of the same family. */
export function addressOf(link: string, hash: string): string {
  const token = tokenOf(hash);
  const base = withKey(link, keyOf(hash));
  return token === null ? base : `${base}${base.includes("#") ? "&" : "#"}token=${token}`;
}
