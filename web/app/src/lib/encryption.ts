// The key of an encrypted call, as far as a page has to do with it: where it stands, and what to say of those without it.
import { canEncryptMedia, parseCallKey, type Participant, type Peer } from "./sdk.ts";

/** `/r/room#key=…`: the browser sends what comes after `#` to no server. */
export function withKey(link: string, key: string | null): string {
  return key === null ? link : `${link}#key=${key}`;
}

/** What an address says; an empty key is a damaged one, and not none. */
export function keyOf(hash: string): string | null {
  return new URLSearchParams(hash.replace(/^#/, "")).get("key");
}

/** Why a call with that key cannot be made from here, if so: nobody is to be in it without encryption instead. */
export function keyProblem(key: string | null): "badKey" | "noEncryption" | null {
  if (key === null) return null;
  if (parseCallKey(key) === null) return "badKey";
  return canEncryptMedia() ? null : "noEncryption";
}

/** Who has not got the key: somebody whom nobody else misses, or we ourselves; `null`: all is well. */
export function keyMissing(peer: Peer, peers: readonly Peer[], me: Participant | null): "mine" | "theirs" | null {
  if (peer.encrypted === "wrong_key") {
    const weReadOthers = peers.some(({ encrypted }) => encrypted === "ok");
    return me?.encrypted === true && weReadOthers ? "theirs" : "mine";
  }
  return peer.encrypted === "none" && me?.encrypted === true && peer.info.client !== "classic" ? "theirs" : null;
}
