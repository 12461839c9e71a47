// Lines of text: from browser to browser where every reader is connected, through the server where one is not.
//
// A line sent directly is acknowledged by each reader; whoever stays silent gets it through the server under the same
// identity, which is how the double is noticed. The history is in memory and bounded; nothing is stored.
//
// In an encrypted call a line is sealed, whichever way it goes, and what is not sealed by the call's key is nobody's line.
import type { Timers } from "./deps";
import type { Sealer } from "./encryption/sealer";
import { CallError } from "./errors";
import type { Request } from "./session";
import { toHex } from "./sha256";
import type { ChatLine } from "./types";
import { isRecord } from "./wire";

export interface ChatPort {
  self(): { id: string; name: string; chars: number } | null;
  /** Everybody else who may read what is said to all. */
  readers(): readonly string[];
  /** Understands `message` only. */
  isClassic(participant: string): boolean;
  nameOf(participant: string): string | null;
  /** Whether a line can go to that participant directly. */
  isDirect(participant: string): boolean;
  sendDirect(participant: string, message: string): boolean;
  /** Of an encrypted call. */
  sealer(): Sealer | null;
  request(frame: Request): Promise<void>;
  said(line: ChatLine): void;
}

export interface ChatDeps {
  timers: Timers;
  random(bytes: number): Uint8Array;
}

export class Chat {
  #lines: ChatLine[] = [];
  #deps: ChatDeps;
  #port: ChatPort;
  #seen = new Set<string>();
  #unacknowledged = new Map<string, () => void>();
  /** Lines are opened in the order in which they have come. */
  #opening: Promise<void> = Promise.resolve();

  constructor(deps: ChatDeps, port: ChatPort) {
    this.#deps = deps;
    this.#port = port;
  }

  /** In order of arrival. Replaced, never mutated. */
  get lines(): readonly ChatLine[] {
    return this.#lines;
  }

  /** Resolves when the line is with every reader, or with the server. */
  async say(text: string, to?: string): Promise<void> {
    const self = this.#port.self();
    if (!self) throw new CallError("not_joined", "You are not in a call.");
    const clean = wellFormed(text);
    if (clean.trim() === "") throw new CallError("misuse", "There is nothing to say.");
    if (charsIn(clean) > self.chars) throw new CallError("too_large", `A line has at most ${self.chars} characters.`);
    const id = toHex(this.#deps.random(8));
    const at = this.#deps.timers.now();
    const line = { id, from: self.id, name: self.name, text: clean, at, mine: true, private: to !== undefined };
    this.#add(line);
    try {
      await this.#deliver(line, to);
    } catch (error) {
      this.#lines = this.#lines.filter((each) => each !== line);
      throw error;
    }
  }

  /** What came over a data channel. */
  handleDirect(from: string, value: unknown): void {
    if (!isRecord(value) || typeof value["id"] !== "string" || value["id"].length > MAX_ID) return;
    if (value["type"] === "ack") {
      this.#unacknowledged.get(key(from, value["id"]))?.();
      return;
    }
    if (value["type"] !== "chat") return;
    this.#port.sendDirect(from, JSON.stringify({ type: "ack", id: value["id"] }));
    this.#receive(from, value);
  }

  /** What an application said through the server: ours when it carries our mark, or is plainly text. */
  handleMessage(from: string, data: unknown): void {
    if (!isRecord(data)) return;
    if (data["tandem"] === "chat") {
      if (typeof data["id"] === "string" && data["id"].length <= MAX_ID) this.#receive(from, data);
    } else if (this.#port.isClassic(from) && !this.#port.sealer()) {
      const text = data["text"] ?? data["message"];
      this.#receive(from, { id: toHex(this.#deps.random(8)), text });
    }
  }

  /** What was said by the server's own `chat`. */
  handleChat(from: string, text: string, at: number, isPrivate: boolean): void {
    if (from === this.#port.self()?.id || this.#port.sealer()) return;
    const name = this.#port.nameOf(from) ?? "";
    const id = toHex(this.#deps.random(8));
    this.#add({ id, from, name, text, at, mine: false, private: isPrivate });
  }

  clear(): void {
    this.#lines = [];
    this.#seen.clear();
    for (const done of [...this.#unacknowledged.values()]) done();
  }

  async #deliver(line: ChatLine, to: string | undefined): Promise<void> {
    const readers = to === undefined ? this.#port.readers() : [to];
    const classic = readers.filter((reader) => this.#port.isClassic(reader));
    const others = readers.filter((reader) => !classic.includes(reader));
    const sealer = this.#port.sealer();
    if (sealer) return this.#deliverSealed(sealer, line, to, readers);
    const { id, name, text } = line;
    const ways = classic.map((reader) => this.#sendMessage(reader, { sender: name, tandem: "chat", id, text }));
    if (others.every((reader) => this.#port.isDirect(reader))) {
      ways.push(...others.map((reader) => this.#sendDirect(reader, id, { text, private: line.private })));
    } else {
      ways.push(this.#port.request({ type: "chat", text, ...(to === undefined ? {} : { to }) }));
    }
    await Promise.all(ways);
  }

  async #deliverSealed(
    sealer: Sealer,
    line: ChatLine,
    to: string | undefined,
    readers: readonly string[],
  ): Promise<void> {
    const { id, from, text } = line;
    const sealed = await sealer.sealText(from, JSON.stringify({ id, text, private: line.private }));
    if (to !== undefined || readers.every((reader) => this.#port.isDirect(reader))) {
      await Promise.all(readers.map((reader) => this.#sendDirect(reader, id, { sealed })));
    } else {
      await this.#port.request({ type: "message", data: { tandem: "chat", id, sealed } });
    }
  }

  async #sendDirect(reader: string, id: string, line: Record<string, unknown>): Promise<void> {
    const heard = this.#acknowledged(reader, id);
    const sent = this.#port.sendDirect(reader, JSON.stringify({ type: "chat", id, ...line }));
    if (sent && (await heard)) return;
    await this.#sendMessage(reader, { tandem: "chat", id, ...line });
  }

  /** Who has left meanwhile need not hear it. */
  async #sendMessage(to: string, data: Record<string, unknown>): Promise<void> {
    await this.#port.request({ type: "message", to, data }).catch((error: unknown) => {
      if (!(error instanceof CallError) || error.reason !== "no_such_participant") throw error;
    });
  }

  /** Resolves to whether the reader has acknowledged in time. */
  #acknowledged(reader: string, id: string): Promise<boolean> {
    return new Promise((resolve) => {
      const name = key(reader, id);
      const finish = (heard: boolean): void => {
        cancel();
        this.#unacknowledged.delete(name);
        resolve(heard);
      };
      const cancel = this.#deps.timers.after(ACK_WITHIN_MS, () => finish(false));
      this.#unacknowledged.set(name, () => finish(true));
    });
  }

  #receive(from: string, value: Record<string, unknown>): void {
    const sealer = this.#port.sealer();
    if (!sealer) return this.#show(from, value);
    const { id, sealed } = value;
    const most = (this.#port.self()?.chars ?? 0) * 8 + 1024;
    if (typeof sealed !== "string" || sealed.length > most) return;
    this.#opening = this.#opening.then(async () => {
      const opened = parse(await sealer.openText(from, sealed));
      // The same line under another name would be shown twice.
      if (isRecord(opened) && opened["id"] === id && this.#port.sealer() === sealer) this.#show(from, opened);
    });
  }

  #show(from: string, value: Record<string, unknown>): void {
    const { id, text } = value;
    const self = this.#port.self();
    const name = this.#port.nameOf(from);
    if (!self || name === null || typeof id !== "string" || typeof text !== "string") return;
    if (text.length > self.chars * 2 || this.#seen.has(key(from, id))) return;
    this.#remember(key(from, id));
    const at = this.#deps.timers.now();
    this.#add({ id, from, name, text, at, mine: false, private: value["private"] === true });
  }

  #remember(name: string): void {
    this.#seen.add(name);
    const [oldest] = this.#seen;
    if (this.#seen.size > MAX_LINES && oldest !== undefined) this.#seen.delete(oldest);
  }

  #add(line: ChatLine): void {
    this.#lines = [...this.#lines.slice(1 - MAX_LINES), line];
    this.#port.said(line);
  }
}

function parse(text: string | null): unknown {
  try {
    return text === null ? null : JSON.parse(text);
  } catch {
    return null;
  }
}

/** Half a surrogate pair is no character, and the server would refuse it. */
export function wellFormed(text: string): string {
  return text.replace(/[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/g, "\uFFFD");
}

/** Characters as the server counts them: Unicode scalar values. */
function charsIn(text: string): number {
  return [...text].length;
}

function key(participant: string, id: string): string {
  return `${participant}\0${id}`;
}

const ACK_WITHIN_MS = 4_000;
const MAX_LINES = 1_000;
const MAX_ID = 64;
