// SFrame, RFC 9605, with AES_128_GCM_SHA256_128: one frame in, one frame out. Pure but for WebCrypto.
//
//   | config | key identity, 0..8 bytes | counter, 0..8 bytes | ciphertext … | tag, 16 bytes |
//     X KKK Y CCC      X, Y = 1: so many bytes less one follow; 0: the three bits are the number itself
//
// A sender draws its key identity at random, 64 bits, when it is made, and counts from 0: its key is derived from the base key
// and that identity (§4.4.2), so that a key and a counter never meet twice, whoever joins anew or loads the page again. Nobody
// has to remember anything for that, and there is no way to set either from outside.

import { concat, utf8 } from "../bytes";

/** What encrypts and decrypts under one key identity. */
interface Keys {
  readonly key: CryptoKey;
  readonly salt: Uint8Array<ArrayBuffer>;
}

export interface Header {
  readonly kid: bigint;
  readonly counter: bigint;
  /** Bytes of the header. */
  readonly length: number;
}

/** The base key as WebCrypto wants it. */
export function importBase(bytes: Uint8Array<ArrayBuffer>): Promise<CryptoKey> {
  return crypto.subtle.importKey("raw", bytes, "HKDF", false, ["deriveBits"]);
}

/** RFC 9605 §4.4.2. */
export async function deriveKeys(base: CryptoKey, kid: bigint): Promise<Keys> {
  const label = (words: string): Uint8Array<ArrayBuffer> => {
    const text = utf8(words);
    const info = new Uint8Array(text.length + 10);
    info.set(text);
    const view = new DataView(info.buffer);
    view.setBigUint64(text.length, kid);
    view.setUint16(text.length + 8, AES_128_GCM_SHA256_128);
    return info;
  };
  const [key, salt] = await Promise.all([
    expand(base, label("SFrame 1.0 Secret key "), KEY_BYTES),
    expand(base, label("SFrame 1.0 Secret salt "), NONCE_BYTES),
  ]);
  return { key: await crypto.subtle.importKey("raw", key, "AES-GCM", false, ["encrypt", "decrypt"]), salt };
}

/** HKDF with SHA-256 and no salt (RFC 5869). */
export async function expand(
  base: CryptoKey,
  info: Uint8Array<ArrayBuffer>,
  bytes: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const parameters = { name: "HKDF", hash: "SHA-256", salt: new Uint8Array(0), info };
  return new Uint8Array(await crypto.subtle.deriveBits(parameters, base, bytes * 8));
}

/** RFC 9605 §4.3, in as few bytes as will do. */
export function writeHeader(kid: bigint, counter: bigint): Uint8Array<ArrayBuffer> {
  const [kidBits, kidBytes] = field(kid);
  const [counterBits, counterBytes] = field(counter);
  return new Uint8Array([(kidBits << 4) | counterBits, ...kidBytes, ...counterBytes]);
}

/** `null`: there are fewer bytes than it says. */
export function parseHeader(data: Uint8Array): Header | null {
  const config = data[0];
  if (config === undefined) return null;
  const read = (bits: number, at: number): { value: bigint; end: number } | null => {
    if ((bits & 8) === 0) return { value: BigInt(bits & 7), end: at };
    const end = at + (bits & 7) + 1;
    if (end > data.length) return null;
    let value = 0n;
    for (const byte of data.subarray(at, end)) value = (value << 8n) | BigInt(byte);
    return { value, end };
  };
  const kid = read(config >> 4, 1);
  const counter = kid && read(config & 15, kid.end);
  return counter && { kid: kid.value, counter: counter.value, length: counter.end };
}

/** Encrypts what one sender sends, and nobody else does under its key. */
export class SframeSender {
  readonly kid: bigint;
  #keys: Promise<Keys>;
  #counter = 0n;

  constructor(base: CryptoKey) {
    this.kid = new DataView(crypto.getRandomValues(new Uint8Array(8)).buffer).getBigUint64(0);
    this.#keys = deriveKeys(base, this.kid);
    // Whoever encrypts hears of it.
    this.#keys.catch(() => undefined);
  }

  /** `metadata` goes beside the frame, and is authenticated with it. */
  async encrypt(plain: Uint8Array<ArrayBuffer>, metadata: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
    // Taken before anything is waited for: two frames on their way at once have two counters.
    const counter = this.#counter;
    this.#counter += 1n;
    const header = writeHeader(this.kid, counter);
    const { key, salt } = await this.#keys;
    const sealed = await crypto.subtle.encrypt(parameters(salt, counter, header, metadata), key, plain);
    return concat(header, new Uint8Array(sealed));
  }
}

/** Decrypts what came of anybody who has the base key. */
export class SframeReceiver {
  #base: CryptoKey;
  /** Of senders that have been proved to have the base key, the last one used at the end. */
  #known = new Map<bigint, Keys>();

  constructor(base: CryptoKey) {
    this.#base = base;
  }

  /** `null`: it is no frame, or of somebody with another key, or somebody has changed it. */
  async decrypt(
    data: Uint8Array<ArrayBuffer>,
    metadata: Uint8Array<ArrayBuffer>,
  ): Promise<Uint8Array<ArrayBuffer> | null> {
    const header = parseHeader(data);
    if (!header || data.length < header.length + TAG_BYTES) return null;
    const { kid, counter, length } = header;
    const keys = this.#known.get(kid) ?? (await deriveKeys(this.#base, kid));
    const inputs = parameters(keys.salt, counter, data.subarray(0, length), metadata);
    try {
      const plain = await crypto.subtle.decrypt(inputs, keys.key, data.subarray(length));
      this.#remember(kid, keys);
      return new Uint8Array(plain);
    } catch {
      return null;
    }
  }

  /** Only after a frame was found genuine: who has no key cannot make us forget those who have. */
  #remember(kid: bigint, keys: Keys): void {
    this.#known.delete(kid);
    this.#known.set(kid, keys);
    const [oldest] = this.#known.keys();
    if (this.#known.size > MAX_SENDERS && oldest !== undefined) this.#known.delete(oldest);
  }
}

/** RFC 9605 §4.4.3: the counter laid over the salt; header and metadata are authenticated. */
function parameters(
  salt: Uint8Array<ArrayBuffer>,
  counter: bigint,
  header: Uint8Array<ArrayBuffer>,
  metadata: Uint8Array<ArrayBuffer>,
): AesGcmParams {
  const iv = salt.slice();
  const view = new DataView(iv.buffer);
  view.setBigUint64(NONCE_BYTES - 8, view.getBigUint64(NONCE_BYTES - 8) ^ counter);
  return { name: "AES-GCM", iv, additionalData: concat(header, metadata), tagLength: TAG_BYTES * 8 };
}

function field(value: bigint): [bits: number, bytes: number[]] {
  if (value < 8n) return [Number(value), []];
  const bytes: number[] = [];
  for (let left = value; left > 0n; left >>= 8n) bytes.unshift(Number(left & 0xffn));
  return [8 | (bytes.length - 1), bytes];
}

/** RFC 9605 §8.1. */
const AES_128_GCM_SHA256_128 = 0x0004;
const KEY_BYTES = 16;
const NONCE_BYTES = 12;
export const TAG_BYTES = 16;
/** Header of 17 bytes at most, and the tag. */
export const OVERHEAD = 17 + TAG_BYTES;
/** Keys kept; the others are derived again. */
const MAX_SENDERS = 512;
