// Long polling, for networks through which no WebSocket gets.
//
//   POST   /signal/poll               []        → {"id": "…"}
//   GET    /signal/poll/{id}?batch=N            → array of frames, or an empty one after a while: ask for N again
//   POST   /signal/poll/{id}?post=N   [frames]  → 204
//   DELETE /signal/poll/{id}
//
// Batches and posts are numbered from 1, so a request whose answer was lost is repeated and does nothing twice.
import type { Deps } from "../deps";
import { isRecord } from "../wire";
import type { OpenTransport, Transport, TransportHandlers } from "./transport";

export function pollingTransport(server: string, fetch: Deps["fetch"]): OpenTransport {
  return (handlers) => {
    const polling = new Polling(new URL("/signal/poll", server).href, fetch, handlers);
    polling.start();
    return polling;
  };
}

class Polling implements Transport {
  #base: string;
  #fetch: Deps["fetch"];
  #handlers: TransportHandlers;
  #url: string | null = null;
  #over = false;
  #abort = new AbortController();
  #queue: object[] = [];
  #flushing: Promise<void> | null = null;
  #post = 0;

  constructor(base: string, fetch: Deps["fetch"], handlers: TransportHandlers) {
    this.#base = base;
    this.#fetch = fetch;
    this.#handlers = handlers;
  }

  start(): void {
    this.#run().catch(() => this.#gone());
  }

  send(frame: object): void {
    if (this.#over) return;
    this.#queue.push(frame);
    this.#flush().catch(() => this.#gone());
  }

  close(): void {
    if (this.#over) return;
    this.#over = true;
    // What was queued (a `leave`, say) still goes out; then the server may forget us.
    this.#flush()
      .catch(() => undefined)
      .then(() => {
        this.#abort.abort();
        return this.#url ? this.#fetch(this.#url, { method: "DELETE", keepalive: true }) : undefined;
      })
      .catch(() => undefined);
  }

  async #run(): Promise<void> {
    const opened: unknown = await this.#json(this.#base, { method: "POST", headers: JSON_TYPE, body: "[]" });
    if (!isRecord(opened) || typeof opened["id"] !== "string") throw new Error("no id in the answer");
    this.#url = `${this.#base}/${encodeURIComponent(opened["id"])}`;
    if (this.#over) return;
    this.#handlers.open();
    for (let batch = 1; !this.#over;) {
      const frames = await this.#json(`${this.#url}?batch=${batch}`, { method: "GET", cache: "no-store" });
      if (!Array.isArray(frames)) throw new Error("not an array of frames");
      if (frames.length > 0) batch += 1;
      for (const frame of frames) {
        if (!this.#over) this.#handlers.frame(frame);
      }
    }
  }

  /** One request at a time; resolves when nothing is queued any more. */
  #flush(): Promise<void> {
    this.#flushing ??= this.#drain().finally(() => {
      this.#flushing = null;
    });
    return this.#flushing;
  }

  async #drain(): Promise<void> {
    while (this.#url && this.#queue.length > 0) {
      const body = this.#takeBatch();
      this.#post += 1;
      await this.#repeat(`${this.#url}?post=${this.#post}`, { method: "POST", headers: JSON_TYPE, body });
    }
  }

  /** As many of the queued frames as fit into one post; at least one. */
  #takeBatch(): string {
    const frames: string[] = [];
    let chars = 0;
    while (this.#queue[0] && frames.length < BATCH_FRAMES) {
      const frame = JSON.stringify(this.#queue[0]);
      if (frames.length > 0 && chars + frame.length > BATCH_CHARS) break;
      chars += frame.length;
      frames.push(frame);
      this.#queue.shift();
    }
    return `[${frames.join(",")}]`;
  }

  async #json(url: string, init: RequestInit): Promise<unknown> {
    const response = await this.#repeat(url, init);
    return (await response.json()) as unknown;
  }

  /** A request that got lost on the way is repeated once; its number tells the server. */
  async #repeat(url: string, init: RequestInit): Promise<Response> {
    const once = (): Promise<Response> => this.#fetch(url, { ...init, signal: this.#abort.signal });
    const response = await once().catch((error: unknown) => {
      if (this.#abort.signal.aborted) throw error;
      return once();
    });
    if (!response.ok) throw new Error(`the server answered ${response.status}`);
    return response;
  }

  #gone(): void {
    if (this.#over) return;
    this.#over = true;
    this.#abort.abort();
    this.#handlers.closed();
  }
}

const JSON_TYPE = { "content-type": "application/json" };
const BATCH_FRAMES = 64;
/** Well below what the server takes at once, even if every character is three bytes. */
const BATCH_CHARS = 32 * 1024;
