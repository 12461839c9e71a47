// A frame of a picture or of sound, encrypted as far as a server that forwards it can do without.
//
//   | in the clear | SFrame …|       VP8: 10 bytes of a key frame, 3 of another (RFC 6386 §9.1); Opus: its first byte
//
// What stays in the clear is authenticated. What does not prove to be genuine comes out as nothing, and so does everything
// while there is no key: neither is anything sent in the clear, nor is noise ever played.
import { concat, type Bytes } from "../bytes";
import { SframeReceiver, SframeSender } from "./sframe";

export type MediaKind = "audio" | "video";

export class FrameCipher {
  #sender: SframeSender | null = null;
  #receiver: SframeReceiver | null = null;

  setKey(base: CryptoKey): void {
    this.#sender = new SframeSender(base);
    this.#receiver = new SframeReceiver(base);
  }

  async encrypt(kind: MediaKind, frame: Bytes): Promise<Bytes | null> {
    const clear = clearBytes(kind, frame);
    // Without a key, or shorter than its codec allows.
    if (!this.#sender || clear === null) return null;
    const head = frame.subarray(0, clear);
    return concat(head, await this.#sender.encrypt(frame.subarray(clear), head));
  }

  async decrypt(kind: MediaKind, frame: Bytes): Promise<Bytes | null> {
    const clear = clearBytes(kind, frame);
    if (!this.#receiver || clear === null) return null;
    const head = frame.subarray(0, clear);
    const plain = await this.#receiver.decrypt(frame.subarray(clear), head);
    return plain && concat(head, plain);
  }
}

function clearBytes(kind: MediaKind, frame: Bytes): number | null {
  const first = frame[0];
  if (first === undefined) return null;
  // The lowest bit of a VP8 frame is 0 in a key frame.
  const bytes = kind === "audio" ? 1 : (first & 1) === 0 ? 10 : 3;
  return frame.length < bytes ? null : bytes;
}

/** Whether what comes can be read, as far as a page has to know: said when it changes, and not in haste when it fails. */
export class Readable {
  #told: boolean | null = null;
  #failing: { since: number; frames: number } | null = null;

  /** Answers what there is to tell, if there is. */
  handleFrame(now: number, genuine: boolean): boolean | null {
    if (genuine) {
      this.#failing = null;
      return this.#tell(true);
    }
    this.#failing ??= { since: now, frames: 0 };
    this.#failing.frames += 1;
    const { since, frames } = this.#failing;
    return frames >= FAILED_FRAMES && now - since >= FAILED_MS ? this.#tell(false) : null;
  }

  /** Somebody else comes from here on. */
  reset(): void {
    this.#told = null;
    this.#failing = null;
  }

  #tell(readable: boolean): boolean | null {
    if (this.#told === readable) return null;
    this.#told = readable;
    return readable;
  }
}

/** Frames of somebody else, still on their way, are no failure. */
const FAILED_FRAMES = 5;
const FAILED_MS = 1_000;
