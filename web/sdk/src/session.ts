// The session protocol of core/api/src/signal.rs, our side of it. Pure: it opens no socket and asks no clock.
//
//   offline ──opened──► greeting ──joined|resumed──► live ──out|leave──► closed
//      ▲                    │                          │
//      └───────lost─────────┴───────────lost───────────┘
//
// Numbers requests and resends what the server has not seen, drops what it sent twice, refuses gaps, and turns replies
// into promises. When to connect again is the business of `link.ts`; what an event means, that of `call.ts`.
import { CallError, type ErrorReason } from "./errors";
import type { ClientFrame, Event, Hello, Join, Joined, Media, Note, Reason } from "./generated";
import { parseServerFrame } from "./wire";

/** A request without its number. */
export type Request = WithoutId<Extract<ClientFrame, { id: number }>>;
type WithoutId<T> = T extends { id: number } ? Omit<T, "id"> : never;

/** Events of the room; `reply` and `joined` are dealt with by the session itself. */
export type RoomEvent = Exclude<Event, { type: "joined" } | { type: "reply" }>;

/** How we came to be in. */
export type Entrance =
  /** As a new participant. */
  | "new"
  /** The page was reloaded: same place, raised epoch. */
  | "reloaded"
  /** The server was restarted: same place, same epoch, connections between browsers go on. */
  | "restored";

/** Not numbered: the latest counts. */
export type PassingNote = Extract<Note, { type: "speakers" | "layers" | "caption" }>;

export interface SessionOutput {
  /** Write this on the transport that is open. */
  send(frame: Hello | ClientFrame): void;
  /** We are in, or in again; everything known about the room is replaced. */
  joined(joined: Joined, how: Entrance): void;
  /** The transport is back and nothing was missed. */
  resumed(): void;
  event(event: RoomEvent): void;
  /** The server asks us to come back after this many milliseconds. */
  draining(reconnectMs: number): void;
  note(note: PassingNote): void;
  /** This transport is of no use: open another, at once or with patience. */
  reopen(patience: "at_once" | "backoff"): void;
  /** There is no way back in. */
  closed(reason: Extract<Event, { type: "out" }>["reason"] | Reason, detail: string): void;
}

/** What is needed to come back to one's place. */
export interface Place {
  token: string;
}

export interface SessionOptions {
  /** How to enter, at this moment: the name may have changed since the first time. */
  join(): Join;
  /** From an earlier life of the page. */
  place: Place | null;
  /** Media at this moment, for a `resume` that starts anew. */
  media(): Media;
}

type Phase = "offline" | "greeting" | "live" | "closed";

interface Pending {
  frame: Request;
  id: number;
  resolve(): void;
  reject(error: CallError): void;
}

export class Session {
  #phase: Phase = "offline";
  #options: SessionOptions;
  #output: SessionOutput;
  #place: Place | null;
  /** The last event seen in this life of the page; `null` before the first. */
  #last: number | null = null;
  #acknowledged = 0;
  #nextId = 1;
  #pending: Pending[] = [];
  /** When the server was last heard: a page that slept learns of the loss long after it. */
  #heardAt: number | null = null;
  #lostAt: number | null = null;
  /** Entered at least once. */
  #wasIn = false;
  #resumeMs = 0;
  #frameBytes = Number.POSITIVE_INFINITY;
  /** A request the server could not read; which one, it tells when we resume. */
  #unread: CallError | null = null;

  constructor(options: SessionOptions, output: SessionOutput) {
    this.#options = options;
    this.#output = output;
    this.#place = options.place;
  }

  get live(): boolean {
    return this.#phase === "live";
  }

  get place(): Place | null {
    return this.#place;
  }

  /** The transport is open: say who we are. */
  handleOpen(): void {
    if (this.#phase === "closed") return;
    this.#phase = "greeting";
    if (!this.#place) {
      this.#output.send({ type: "join", ...this.#options.join(), media: this.#options.media() });
      return;
    }
    const media = this.#options.media();
    const token = this.#place.token;
    this.#output.send(
      this.#last === null ? { type: "resume", token, media } : { type: "resume", token, last: this.#last, media },
    );
  }

  /** The transport is gone. */
  handleLost(now: number): void {
    if (this.#phase === "closed") return;
    if (this.#phase === "live") this.#lostAt = this.#heardAt ?? now;
    this.#phase = "offline";
  }

  handleFrame(now: number, frame: unknown): void {
    if (this.#phase === "closed" || this.#phase === "offline") return;
    this.#heardAt = now;
    const incoming = parseServerFrame(frame);
    switch (incoming.kind) {
      case "bad":
        this.#output.reopen("backoff");
        return;
      case "note":
        this.#onNote(now, incoming.note);
        return;
      case "event":
        this.#onNumbered(incoming.n, incoming.event);
    }
  }

  /** Tell the server how far we have read, so that it may forget. Called now and then; does nothing when there is nothing to tell. */
  acknowledge(): void {
    if (this.#phase !== "live" || this.#last === null || this.#last === this.#acknowledged) return;
    this.#acknowledged = this.#last;
    this.#output.send({ type: "ack", n: this.#last });
  }

  /** Resolves when the server has said yes; rejects with its reason when it has said no. Survives lost transports. */
  request(frame: Request): Promise<void> {
    if (this.#phase === "closed") return Promise.reject(new CallError("not_joined", "The call is over."));
    if (this.#pending.length >= MAX_PENDING) {
      return Promise.reject(new CallError("too_many", "Too much is waiting for the server already."));
    }
    if (utf8Length(JSON.stringify(frame)) + ID_BYTES > this.#frameBytes) {
      return Promise.reject(new CallError("too_large", `The server accepts ${this.#frameBytes} bytes at once.`));
    }
    return new Promise((resolve, reject) => {
      const pending: Pending = { frame, id: this.#nextId, resolve, reject };
      this.#nextId += 1;
      this.#pending.push(pending);
      if (this.#phase === "live") this.#send(pending);
    });
  }

  /** Nothing is read or sent any more; whoever still waits is told. */
  close(error: CallError): void {
    this.#phase = "closed";
    this.#rejectAll(error);
  }

  #send(pending: Pending): void {
    this.#output.send({ id: pending.id, ...pending.frame } as ClientFrame);
  }

  #onNote(now: number, note: Note): void {
    switch (note.type) {
      // Not asked for here.
      case "seen":
      case "pong":
        return;
      case "speakers":
      case "layers":
      case "caption":
        this.#output.note(note);
        return;
      case "draining":
        this.#output.draining(note.reconnect_ms);
        return;
      case "resumed":
        this.#onResumed(note.received);
        return;
      case "refused":
        this.#onRefused(now, note.reason, note.detail, note.fatal);
    }
  }

  #onResumed(received: number): void {
    if (this.#phase !== "greeting" || this.#last === null) {
      this.#output.reopen("backoff");
      return;
    }
    this.#phase = "live";
    this.#lostAt = null;
    if (this.#unread) this.#dropUnread(received, this.#unread);
    for (const pending of this.#pending) {
      if (pending.id > received) this.#send(pending);
    }
    this.#output.resumed();
  }

  /** The server could not read the request after the last one it counted: give up that one, and close the gap. */
  #dropUnread(received: number, why: CallError): void {
    this.#unread = null;
    const at = this.#pending.findIndex((pending) => pending.id > received);
    const [offender] = at === -1 ? [] : this.#pending.splice(at, 1);
    if (!offender) return;
    this.#nextId = received + 1;
    for (const pending of this.#pending.slice(at)) {
      pending.id = this.#nextId;
      this.#nextId += 1;
    }
    offender.reject(why);
  }

  #onRefused(now: number, reason: Reason, detail: string, fatal: boolean): void {
    if (reason === "already_joined" && fatal) {
      // Another page has resumed with our token. Taking the place back would make it do the same, for ever.
      this.#end(reason, detail);
      return;
    }
    if (this.#phase === "live") {
      // A frame of ours was not even read, so its number is free and all later ones are wrong. `resumed` will say which.
      if (UNREADABLE.has(reason)) this.#unread = new CallError(reason, detail);
      if (this.#unread || reason === "out_of_order") this.#output.reopen("at_once");
      else if (fatal) this.#output.reopen("backoff");
      return;
    }
    if (reason === "resume_expired" && this.#place) {
      this.#onPlaceLost(now, detail);
    } else if (TRANSIENT.has(reason) && (this.#place || this.#wasIn || reason === "draining")) {
      this.#output.reopen("backoff");
    } else {
      this.#end(reason, detail);
    }
  }

  /**
   * Our place is gone. If that is because we were away for too long, enter anew; else we were put out meanwhile. (Put out
   * during a long absence cannot be told from it; who must not come back needs a locked room in any case.)
   */
  #onPlaceLost(now: number, detail: string): void {
    const outage = this.#lostAt === null ? Number.POSITIVE_INFINITY : now - this.#lostAt;
    if (this.#last !== null && outage < this.#resumeMs) this.#end("resume_expired", detail);
    else this.#enterAnew("resume_expired", "You were away for too long; what was under way is lost.");
  }

  /** What was asked for here is nothing to ask for there, or then. */
  #enterAnew(reason: ErrorReason, why: string): void {
    this.#place = null;
    this.#last = null;
    this.#rejectAll(new CallError(reason, why));
    this.#output.reopen("at_once");
  }

  #onNumbered(n: number, event: Event | null): void {
    if (event?.type === "joined") {
      this.#onJoined(n, event);
      return;
    }
    if (this.#phase !== "live" || this.#last === null || n > this.#last + 1) {
      this.#output.reopen("backoff");
      return;
    }
    if (n <= this.#last) return;
    this.#last = n;
    if (n - this.#acknowledged >= ACK_EVERY) this.acknowledge();
    if (event === null) return;
    if (event.type === "reply") {
      this.#onReply(event);
      return;
    }
    this.#output.event(event);
    // The `out` that follows need not be waited for.
    if (event.type === "moved") this.#enterAnew("aborted", "You have gone to another room meanwhile.");
    if (event.type === "out") this.#end(event.reason, "");
  }

  #onJoined(n: number, joined: Joined): void {
    if (this.#phase !== "greeting" || n !== 1) {
      this.#output.reopen("backoff");
      return;
    }
    const how: Entrance = this.#place === null ? "new" : this.#last === null ? "reloaded" : "restored";
    this.#phase = "live";
    this.#wasIn = true;
    this.#lostAt = null;
    this.#place = { token: joined.resume_token };
    this.#resumeMs = joined.resume_ms;
    this.#frameBytes = joined.limits.frame_bytes;
    this.#last = n;
    this.#acknowledged = 0;
    this.#unread = null;
    // Whatever had no reply is asked again under the numbers of this life. What the server that is gone had still
    // carried out is then done twice; every request but `chat` and `message` is the same when done twice.
    this.#nextId = 1;
    for (const pending of this.#pending) {
      pending.id = this.#nextId;
      this.#nextId += 1;
      this.#send(pending);
    }
    this.#output.joined(joined, how);
  }

  #onReply(reply: Extract<Event, { type: "reply" }>): void {
    const at = this.#pending.findIndex((pending) => pending.id === reply.to);
    const pending = this.#pending[at];
    if (!pending) return;
    this.#pending.splice(at, 1);
    if (reply.outcome === "ok") pending.resolve();
    else pending.reject(new CallError(reply.reason, reply.detail));
  }

  #end(reason: Parameters<SessionOutput["closed"]>[0], detail: string): void {
    this.close(new CallError("not_joined", "The call is over."));
    this.#place = null;
    this.#output.closed(reason, detail);
  }

  #rejectAll(error: CallError): void {
    const pending = this.#pending;
    this.#pending = [];
    for (const each of pending) each.reject(error);
  }
}

export function utf8Length(text: string): number {
  return new TextEncoder().encode(text).length;
}

const MAX_PENDING = 1024;
/** Room for `"id":…,` which is added to a request later. */
const ID_BYTES = 24;
const ACK_EVERY = 32;
/** Refusals that pass by themselves. */
const TRANSIENT: ReadonlySet<Reason> = new Set<Reason>(["draining", "too_many", "server_full"]);
/** Refusals, outside a reply, of a frame that was not understood. */
const UNREADABLE: ReadonlySet<Reason> = new Set<Reason>(["malformed", "unknown_type", "too_large"]);
