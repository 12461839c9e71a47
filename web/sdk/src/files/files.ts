// All transfers of a call. They run from browser to browser only; the server never sees a file.
import { toHex } from "../sha256";
import type { FileTransfer } from "../types";
import { Incoming } from "./incoming";
import { Outgoing } from "./outgoing";
import { FilePipe } from "./pipe";
import { cleanName, parseFileMessage, parsePiece, type FileMessage } from "./protocol";

export interface FilesDeps {
  random(bytes: number): Uint8Array;
  changed(): void;
}

interface Line {
  pipe: FilePipe;
  nextNumber: number;
  outgoing: Map<number, Outgoing>;
  incoming: Map<number, Incoming>;
}

export class Files {
  #deps: FilesDeps;
  #lines = new Map<string, Line>();
  #all: (Incoming | Outgoing)[] = [];

  constructor(deps: FilesDeps) {
    this.#deps = deps;
  }

  get transfers(): readonly FileTransfer[] {
    return this.#all.map((transfer) => transfer.view);
  }

  /** A connection to that participant has this channel. */
  attach(peer: string, channel: RTCDataChannel): void {
    this.detach(peer);
    const line: Line = { pipe: new FilePipe(channel), nextNumber: 1, outgoing: new Map(), incoming: new Map() };
    this.#lines.set(peer, line);
    channel.onmessage = (message: MessageEvent<unknown>) => this.#onFrame(peer, line, message.data);
    channel.onclose = () => {
      if (this.#lines.get(peer) === line) this.detach(peer);
    };
  }

  /** The connection is gone; what was under way has failed. */
  detach(peer: string): void {
    const line = this.#lines.get(peer);
    if (!line) return;
    this.#lines.delete(peer);
    line.pipe.close();
    for (const transfer of [...line.outgoing.values(), ...line.incoming.values()]) {
      transfer.fail("the connection was lost");
    }
  }

  /** Returns the identity of the transfer, which has failed already where there is no connection. */
  offer(file: File, peer: string): string {
    const line = this.#lines.get(peer);
    const number = line?.nextNumber ?? 0;
    const view = this.#view(peer, "out", { name: cleanName(file.name), size: file.size, mime: file.type });
    const outgoing = new Outgoing(view, number, file, line?.pipe ?? null, () => this.#deps.changed());
    this.#all.push(outgoing);
    if (!line?.pipe.open) {
      outgoing.fail("there is no direct connection");
    } else if (file.size > MAX_BYTES) {
      outgoing.fail(TOO_LARGE);
    } else {
      line.nextNumber += 1;
      line.outgoing.set(number, outgoing);
      outgoing.offer();
    }
    this.#forget();
    this.#deps.changed();
    return view.id;
  }

  accept(id: string): void {
    const transfer = this.#find(id);
    if (transfer instanceof Incoming) transfer.accept();
  }

  decline(id: string): void {
    const transfer = this.#find(id);
    if (transfer instanceof Incoming) transfer.decline("");
  }

  cancel(id: string): void {
    this.#find(id)?.cancel();
  }

  /** Ends everything. Finished transfers stay readable. */
  close(): void {
    for (const peer of [...this.#lines.keys()]) this.detach(peer);
  }

  clear(): void {
    this.close();
    this.#all = [];
  }

  #onFrame(peer: string, line: Line, data: unknown): void {
    if (data instanceof ArrayBuffer) {
      const piece = parsePiece(data);
      if (piece) line.incoming.get(piece.id)?.handlePiece(piece.bytes);
      return;
    }
    const message = typeof data === "string" ? parseFileMessage(data) : null;
    if (!message) return;
    if (message.type === "offer") this.#onOffer(peer, line, message);
    else if (message.type === "end" || message.type === "withdraw")
      line.incoming.get(message.id)?.handleMessage(message);
    else line.outgoing.get(message.id)?.handleMessage(message);
  }

  #onOffer(peer: string, line: Line, offer: Extract<FileMessage, { type: "offer" }>): void {
    if (line.incoming.has(offer.id)) return;
    const open = [...line.incoming.values()].filter(({ view }) => view.state === "offered" || view.state === "running");
    if (open.length >= MAX_OPEN || line.incoming.size >= MAX_OFFERS) {
      line.pipe.say({ type: "decline", id: offer.id, reason: "too many files at once" });
      return;
    }
    const incoming = new Incoming(this.#view(peer, "in", offer), offer.id, line.pipe, () => this.#deps.changed());
    line.incoming.set(offer.id, incoming);
    this.#all.push(incoming);
    if (offer.size > MAX_BYTES) incoming.decline(TOO_LARGE);
    this.#forget();
    this.#deps.changed();
  }

  #view(
    peer: string,
    direction: "in" | "out",
    { name, size, mime }: { name: string; size: number; mime: string },
  ): FileTransfer {
    return {
      id: toHex(this.#deps.random(8)),
      peer,
      direction,
      name,
      size,
      type: mime,
      done: 0,
      state: direction === "in" ? "offered" : "waiting",
      reason: null,
      blob: null,
      sha256: null,
    };
  }

  #find(id: string): Incoming | Outgoing | undefined {
    return this.#all.find(({ view }) => view.id === id);
  }

  /** The list is bounded: what failed or was declined longest ago goes first. */
  #forget(): void {
    if (this.#all.length <= MAX_LISTED) return;
    const at = this.#all.findIndex(({ view }) => OVER.has(view.state));
    if (at !== -1) this.#all.splice(at, 1);
  }
}

const MAX_BYTES = 2 * 1024 * 1024 * 1024;
const TOO_LARGE = "a file may have 2 GiB at most";
/** Offered or running from one participant at the same time. */
const MAX_OPEN = 20;
/** Over the life of one connection. */
const MAX_OFFERS = 10_000;
const MAX_LISTED = 200;
const OVER: ReadonlySet<FileTransfer["state"]> = new Set(["declined", "cancelled", "failed", "finished"]);
