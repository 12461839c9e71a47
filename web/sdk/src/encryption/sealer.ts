// Text and pieces of files for those who have the call's key: SFrame once more, under a key of its own for each purpose.
import { baseKey, type Purpose } from "./key";
import { OVERHEAD, SframeReceiver, SframeSender } from "./sframe";

export class Sealer {
  #ends: Promise<{ sender: SframeSender; receiver: SframeReceiver }>;

  constructor(key: Uint8Array<ArrayBuffer>, purpose: Purpose) {
    this.#ends = baseKey(key, purpose).then((base) => ({
      sender: new SframeSender(base),
      receiver: new SframeReceiver(base),
    }));
    this.#ends.catch(() => undefined);
  }

  /** `from` is who says it; it is authenticated, so that a server cannot say it was somebody else. */
  async seal(from: string, plain: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
    const { sender } = await this.#ends;
    return sender.encrypt(plain, new TextEncoder().encode(from));
  }

  /** `null`: not by that participant with this key, or changed on its way. */
  async open(from: string, sealed: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer> | null> {
    const { receiver } = await this.#ends;
    return receiver.decrypt(sealed, new TextEncoder().encode(from));
  }

  async sealText(from: string, text: string): Promise<string> {
    const sealed = await this.seal(from, new TextEncoder().encode(text));
    return btoa(String.fromCharCode(...sealed));
  }

  async openText(from: string, sealed: string): Promise<string | null> {
    try {
      const bytes = Uint8Array.from(atob(sealed), (character) => character.charCodeAt(0));
      const plain = await this.open(from, bytes);
      return plain && new TextDecoder("utf-8", { fatal: true }).decode(plain);
    } catch {
      return null;
    }
  }
}

/** Bytes that sealing adds at most. */
export const SEALED_MORE = OVERHEAD;
