// One way for files to one participant, with back-pressure: a sender asks for room before each piece.
import { KIND, type Messages } from "../messages";
import type { FileMessage } from "./protocol";
import type { FileWay } from "./way";

export class FilePipe {
  #way: FileWay;
  #messages: Messages;
  #waiting: (() => void)[] = [];
  /** Bytes of pieces that the other side has not said to have. */
  #unconfirmed = 0;

  constructor(way: FileWay, messages: Messages) {
    this.#way = way;
    this.#messages = messages;
  }

  get open(): boolean {
    return this.#way.open;
  }

  /** The other side is to say how far it has come. */
  get confirms(): boolean {
    return this.#way.window !== null;
  }

  say(message: FileMessage): void {
    if (this.open) this.#write(KIND.fileText, new TextEncoder().encode(JSON.stringify(message)));
  }

  /** Resolves when it is on its way. */
  async sendPiece(piece: Uint8Array<ArrayBuffer>): Promise<void> {
    if (this.open) await this.#write(KIND.filePiece, piece);
  }

  /** So many bytes of pieces were sent, or, below 0, are known to have come or need not be waited for. */
  count(bytes: number): void {
    this.#unconfirmed += bytes;
    if (bytes < 0) this.#wake();
  }

  /** Resolves when there is room for another piece, or when the way is gone. */
  async room(): Promise<void> {
    for (;;) {
      if (!this.open) return;
      if (this.#way.bufferedAmount >= HIGH_BYTES) await this.#way.drained();
      else if (this.#way.window !== null && this.#unconfirmed >= this.#way.window)
        await new Promise<void>((resolve) => this.#waiting.push(resolve));
      else return;
    }
  }

  close(): void {
    this.#way.close();
    this.#wake();
  }

  #write(kind: typeof KIND.fileText | typeof KIND.filePiece, payload: Uint8Array<ArrayBuffer>): Promise<void> {
    const written = this.#messages.write(kind, payload, (mark, bytes) => {
      if (this.open) this.#way.send(mark, bytes);
    });
    // The channel closed in this very moment: whoever waits for an answer hears of it by that.
    return written.catch(() => undefined);
  }

  #wake(): void {
    for (const resolve of this.#waiting.splice(0)) resolve();
  }
}

const HIGH_BYTES = 1024 * 1024;
