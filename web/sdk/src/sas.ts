// A short authentication string: four words both people read aloud. If somebody sits between the two browsers, the words differ.
//
//   initiator                               responder
//      │ commit = SHA-256(nonce I)              │
//      ├───────────────────────────────────────►│
//      │                               nonce R  │
//      │◄───────────────────────────────────────┤
//      │ nonce I                                │   responder checks it against the commitment
//      ├───────────────────────────────────────►│
//
// Both show words of SHA-256(both DTLS fingerprints, both nonces). As in ZRTP (RFC 6189 §4.4.1.1) nobody can choose a nonce
// after having seen the other's, so a man in the middle has one blind guess in 2^32 per connection; the exchange runs
// once per pair of fingerprints, which leaves him nothing to repeat. It runs over a data channel of that connection.
import { concat, utf8 } from "./bytes";
import { fromHex, sha256, toHex } from "./sha256";
import { WORDS } from "./words";
import { isRecord } from "./wire";

export interface SasOptions {
  initiator: boolean;
  local: string;
  remote: string;
  random(bytes: number): Uint8Array;
}

type Stage =
  | { stage: "start" }
  | { stage: "committed" }
  | { stage: "answered"; commit: string }
  | { stage: "done"; words: readonly string[] }
  | { stage: "failed" };

export class SasExchange {
  #options: SasOptions;
  #send: (message: string) => void;
  #nonce: Uint8Array;
  #stage: Stage = { stage: "start" };

  constructor(options: SasOptions, send: (message: string) => void) {
    this.#options = options;
    this.#send = send;
    this.#nonce = options.random(NONCE_BYTES);
  }

  /** The words, once both have revealed. */
  get words(): readonly string[] | null {
    return this.#stage.stage === "done" ? this.#stage.words : null;
  }

  /** The other side broke the rules, or its commitment. */
  get failed(): boolean {
    return this.#stage.stage === "failed";
  }

  /** The channel is open. */
  start(): void {
    if (!this.#options.initiator || this.#stage.stage !== "start") return;
    this.#stage = { stage: "committed" };
    this.#send(JSON.stringify({ type: "commit", hash: commitment(this.#nonce) }));
  }

  handleMessage(text: unknown): void {
    if (this.#stage.stage === "done" || this.#stage.stage === "failed") return;
    this.#stage = this.#next(parse(text)) ?? { stage: "failed" };
  }

  /** `null`: not what may come at this point. */
  #next(message: Message | null): Stage | null {
    if (!message) return null;
    const stage = this.#stage;
    if (stage.stage === "start" && !this.#options.initiator && message.type === "commit") {
      this.#send(JSON.stringify({ type: "nonce", nonce: toHex(this.#nonce) }));
      return { stage: "answered", commit: message.hash };
    }
    if (stage.stage === "committed" && message.type === "nonce") {
      this.#send(JSON.stringify({ type: "reveal", nonce: toHex(this.#nonce) }));
      return { stage: "done", words: this.#wordsFor(this.#nonce, message.nonce) };
    }
    if (stage.stage === "answered" && message.type === "reveal") {
      if (commitment(message.nonce) !== stage.commit) return null;
      return { stage: "done", words: this.#wordsFor(message.nonce, this.#nonce) };
    }
    return null;
  }

  #wordsFor(initiator: Uint8Array, responder: Uint8Array): readonly string[] {
    const fingerprints = [this.#options.local, this.#options.remote].sort().join("\0");
    const label = utf8(`tandem sas 1\0${fingerprints}\0`);
    const digest = sha256(concat(label, initiator, responder));
    return Array.from(digest.subarray(0, WORD_COUNT), (byte) => WORDS[byte] ?? "");
  }
}

/** All `a=fingerprint` values of a description, sorted; `null` where there is none. */
export function fingerprintsOf(sdp: string): string | null {
  const found = new Set<string>();
  for (const match of sdp.matchAll(/^a=fingerprint:([\w-]+) ([0-9A-Fa-f:]+)\r?$/gm)) {
    found.add(`${match[1]?.toLowerCase()} ${match[2]?.toUpperCase()}`);
  }
  return found.size === 0 ? null : [...found].sort().join(",");
}

type Message =
  { type: "commit"; hash: string } | { type: "nonce"; nonce: Uint8Array } | { type: "reveal"; nonce: Uint8Array };

function parse(text: unknown): Message | null {
  if (typeof text !== "string" || text.length > MAX_MESSAGE) return null;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return null;
  }
  if (!isRecord(value)) return null;
  const type = value["type"];
  if (type === "commit") {
    const hash = fromHex(value["hash"], 32);
    return hash && { type, hash: toHex(hash) };
  }
  if (type !== "nonce" && type !== "reveal") return null;
  const nonce = fromHex(value["nonce"], NONCE_BYTES);
  return nonce && { type, nonce };
}

function commitment(nonce: Uint8Array): string {
  return toHex(sha256(concat(utf8("tandem sas commit 1\0"), nonce)));
}

const NONCE_BYTES = 32;
const WORD_COUNT = 4;
const MAX_MESSAGE = 512;
