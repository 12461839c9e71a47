// Text and pieces of files for those who have the call's key: SFrame once more, under a key of its own for each purpose.
import { fromBase64, textOf, toBase64, utf8 } from "../bytes";
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
    return sender.encrypt(plain, utf8(from));
  }

  /** `null`: not by that participant with this key, or changed on its way. */
  async open(from: string, sealed: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer> | null> {
    const { receiver } = await this.#ends;
    return receiver.decrypt(sealed, utf8(from));
  }

  async sealText(from: string, text: string): Promise<string> {
    return toBase64(await this.seal(from, utf8(text)));
  }

  async openText(from: string, sealed: string): Promise<string | null> {
    const bytes = fromBase64(sealed);
    const plain = bytes && (await this.open(from, bytes));
    return plain && textOf(plain);
  }
}

/** Bytes that sealing adds at most. */
export const SEALED_MORE = OVERHEAD;
