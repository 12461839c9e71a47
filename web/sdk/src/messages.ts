// What a message between participants is: its kind, and whether it is sealed. The same on whichever way it goes.
//
//   data channel from browser to browser   | kind, 8 bits | payload |
//   through the server                     see plane/lanes.ts
//
// The highest bit of the kind says that the payload is sealed by the key of the call. In a call with a key everything is, and
// what is not is dropped; in one without a key the other way round.
import { concat, type Bytes } from "./bytes";
import type { Sealer } from "./encryption/sealer";

export const KIND = { text: 1, bytes: 2, fileText: 3, filePiece: 4 } as const;
export type Kind = (typeof KIND)[keyof typeof KIND];

const SEALED = 0x80;

/** Sealed or not, it belongs to the transfer of a file. */
export function isOfFile(kind: number): boolean {
  const plain = kind & ~SEALED;
  return plain === KIND.fileText || plain === KIND.filePiece;
}

/** As it goes from browser to browser. */
export function marked(kind: number, payload: Bytes): Bytes {
  return concat(Uint8Array.of(kind), payload);
}

/** Makes messages and reads them, one after the other, in the order in which they came. */
export class Messages {
  #sealer: Sealer | null;
  #me: () => string;
  #out: Promise<void> = Promise.resolve();
  #in: Promise<void> = Promise.resolve();

  constructor(sealer: Sealer | null, me: () => string) {
    this.#sealer = sealer;
    this.#me = me;
  }

  get seals(): boolean {
    return this.#sealer !== null;
  }

  /** Hands it to `send` when it is ready: at once where there is nothing to seal. */
  write(kind: Kind, payload: Bytes, send: (kind: number, payload: Bytes) => void): Promise<void> {
    const sealer = this.#sealer;
    if (!sealer) {
      send(kind, payload);
      return Promise.resolve();
    }
    const me = this.#me();
    const sealed = sealer.seal(`${me} ${kind}`, payload);
    const next = this.#out.then(async () => send(kind | SEALED, await sealed));
    this.#out = next.catch(() => undefined);
    return next;
  }

  /** Hands it to `take` if it is genuine. */
  read(from: string, kind: number, payload: Bytes, take: (kind: number, payload: Bytes) => void): void {
    const sealer = this.#sealer;
    if (((kind & SEALED) !== 0) !== (sealer !== null)) return;
    if (!sealer) return take(kind, payload);
    const plain = kind & ~SEALED;
    const opened = sealer.open(`${from} ${plain}`, payload);
    this.#in = this.#in.then(async () => {
      const bytes = await opened.catch(() => null);
      if (bytes) take(plain, bytes);
    });
  }
}
