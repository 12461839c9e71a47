// All transfers of a call. They run from browser to browser where there is a connection, and through the server's media plane
// where there is none; the server passes pieces on and keeps none.
import type { Timers } from "../deps";
import { KIND, type Messages } from "../messages";
import { toHex } from "../sha256";
import type { FileTransfer } from "../types";
import { Incoming } from "./incoming";
import { Outgoing } from "./outgoing";
import { FilePipe } from "./pipe";
import { DirectWay, type FileWay } from "./way";
import { cleanName, parseFileMessage, parsePiece, type FileMessage } from "./protocol";

export interface FilesDeps {
  random(bytes: number): Uint8Array;
  timers: Timers;
  /** Of the call: what seals in an encrypted one. */
  messages(): Messages;
  /** The way through the server to a participant of ours. */
  lane(peer: string): FileWay | null;
  changed(): void;
}

type Bytes = Uint8Array<ArrayBuffer>;

interface Line {
  pipe: FilePipe;
  messages: Messages;
  nextNumber: number;
  outgoing: Map<number, Outgoing>;
  incoming: Map<number, Incoming>;
}

export class Files {
  #deps: FilesDeps;
  /** By participant: those connected to us, and those to whom the way is through the server. */
  #lines = new Map<string, Line>();
  #lanes = new Map<string, Line>();
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
    const line = this.#line(new DirectWay(channel));
    this.#lines.set(peer, line);
    channel.onmessage = ({ data }: MessageEvent<unknown>) => {
      if (typeof data === "string") this.#onDirect(peer, line, KIND.fileText, new TextEncoder().encode(data));
      else if (data instanceof ArrayBuffer) this.#onBinary(peer, line, data);
    };
    channel.onclose = () => {
      if (this.#lines.get(peer) === line) this.detach(peer);
    };
  }

  /** The connection is gone; what was under way has failed. */
  detach(peer: string): void {
    end(this.#lines, peer);
  }

  /** What somebody said of files through the server. */
  handleLane(peer: string, kind: number, payload: Bytes): void {
    const line = this.#laneTo(peer);
    if (line) this.#onDirect(peer, line, kind, payload);
  }

  /** The way through the server was lost, or somebody has left: only these are still there. */
  keepLanes(peers: readonly string[]): void {
    for (const peer of [...this.#lanes.keys()]) if (!peers.includes(peer)) end(this.#lanes, peer);
  }

  /** Returns the identity of the transfer, which has failed already where there is no connection. */
  offer(file: File, peer: string): string {
    const direct = this.#lines.get(peer);
    const line = direct?.pipe.open ? direct : this.#laneTo(peer);
    const number = line?.nextNumber ?? 0;
    const view = this.#view(peer, "out", { name: cleanName(file.name), size: file.size, mime: file.type });
    const outgoing = new Outgoing(view, number, file, line?.pipe ?? null, this.#deps.timers, () =>
      this.#deps.changed(),
    );
    this.#all.push(outgoing);
    if (!line?.pipe.open) {
      outgoing.fail("there is no connection");
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
    this.keepLanes([]);
  }

  clear(): void {
    this.close();
    this.#all = [];
  }

  #line(way: FileWay): Line {
    const messages = this.#deps.messages();
    const pipe = new FilePipe(way, messages);
    return { pipe, messages, nextNumber: 1, outgoing: new Map(), incoming: new Map() };
  }

  #laneTo(peer: string): Line | null {
    const known = this.#lanes.get(peer);
    if (known?.pipe.open) return known;
    const way = this.#deps.lane(peer);
    if (!way?.open) return null;
    end(this.#lanes, peer);
    const line = this.#line(way);
    this.#lanes.set(peer, line);
    return line;
  }

  /** On a channel of its own: a piece, or, sealed, either. */
  #onBinary(peer: string, line: Line, data: ArrayBuffer): void {
    const [kind] = new Uint8Array(data);
    if (line.messages.seals && kind !== undefined) this.#onDirect(peer, line, kind, new Uint8Array(data, 1));
    else this.#onDirect(peer, line, KIND.filePiece, new Uint8Array(data));
  }

  #onDirect(peer: string, line: Line, mark: number, payload: Bytes): void {
    line.messages.read(peer, mark, payload, (kind, bytes) => {
      if (kind === KIND.fileText) this.#onText(peer, line, new TextDecoder().decode(bytes));
      const piece = kind === KIND.filePiece ? parsePiece(bytes) : null;
      if (piece) line.incoming.get(piece.id)?.handlePiece(piece.bytes);
    });
  }

  #onText(peer: string, line: Line, text: string): void {
    const message = parseFileMessage(text);
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

function end(lines: Map<string, Line>, peer: string): void {
  const line = lines.get(peer);
  if (!line) return;
  lines.delete(peer);
  line.pipe.close();
  for (const transfer of [...line.outgoing.values(), ...line.incoming.values()]) {
    transfer.fail("the connection was lost");
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
