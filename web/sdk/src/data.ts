// What an application says to those in the call (`call.send`): directly to whoever is connected to us, else through the server.
import { textOf, utf8, type Bytes } from "./bytes";
import { CallError } from "./errors";
import { KIND, marked, type Messages } from "./messages";
import type { DataMessage } from "./types";

export interface DataPort {
  /** Everybody who may get what is for all. */
  readers(): readonly string[];
  isDirect(participant: string): boolean;
  sendDirect(participant: string, message: Bytes): boolean;
  /** Through the server; `null`: to all. */
  sendLane(to: string | null, kind: number, payload: Bytes, reliable: boolean): boolean;
  /** When the way through the server has room. */
  room(): Promise<void>;
  messages(): Messages;
  received(message: DataMessage): void;
}

export class Data {
  #port: DataPort;
  #waiting = 0;

  constructor(port: DataPort) {
    this.#port = port;
  }

  async send(data: string | Uint8Array, to: string | undefined, reliable: boolean): Promise<void> {
    const payload = typeof data === "string" ? utf8(data) : new Uint8Array(data);
    if (payload.length > MAX_DATA) throw new CallError("too_large", `A message has at most ${MAX_DATA} bytes.`);
    if (to !== undefined && !this.#port.readers().includes(to))
      throw new CallError("no_such_participant", "There is nobody of that name to send to.");
    if (this.#waiting >= MAX_WAITING) throw new CallError("too_many", "Too much is on its way already.");
    const kind = typeof data === "string" ? KIND.text : KIND.bytes;
    this.#waiting += 1;
    try {
      if (reliable) await this.#port.room();
      let sent = false;
      await this.#port.messages().write(kind, payload, (mark, bytes) => (sent = this.#send(to, mark, bytes, reliable)));
      if (!sent && reliable) throw new CallError("unreachable", "There is no connection to send it by.");
    } finally {
      this.#waiting -= 1;
    }
  }

  /** By a data channel from browser to browser. */
  handleDirect(from: string, message: ArrayBuffer): void {
    const kind = new Uint8Array(message)[0];
    if (kind !== undefined) this.handle(from, kind, new Uint8Array(message, 1), true);
  }

  handle(from: string, kind: number, payload: Bytes, reliable: boolean): void {
    if (payload.length > MAX_DATA + MORE || !this.#port.readers().includes(from)) return;
    this.#port.messages().read(from, kind, payload, (plain, bytes) => {
      const data = plain === KIND.text ? textOf(bytes) : plain === KIND.bytes ? bytes : null;
      if (data !== null) this.#port.received({ from, data, reliable });
    });
  }

  #send(to: string | undefined, kind: number, payload: Bytes, reliable: boolean): boolean {
    const readers = to === undefined ? this.#port.readers() : [to];
    if (readers.length === 0) return true;
    if (!readers.every((reader) => this.#port.isDirect(reader)))
      return this.#port.sendLane(to ?? null, kind, payload, reliable);
    const message = marked(kind, payload);
    return readers.map((reader) => this.#port.sendDirect(reader, message)).every((sent) => sent);
  }
}

/** What every browser takes as one message, with room for what is around it. */
const MAX_DATA = 60 * 1024;
const MORE = 64;
const MAX_WAITING = 1_000;
