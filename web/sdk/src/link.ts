// Keeps a transport open: falls back from WebSocket to polling, waits longer after each failure, notices a dead way by
// asking, and tries at once when the network or the page comes back to life. What is said over it is `session.ts`'s.
import type { Timers } from "./deps";
import type { OpenTransport, Transport, TransportKind } from "./transport/transport";

export interface LinkOutput {
  /** A transport is open: say hello, then call `confirm()` once the server has accepted it. */
  open(): void;
  frame(frame: unknown): void;
  /** The confirmed transport is gone. */
  lost(): void;
  /** Attempt number `attempt` begins. */
  retrying(attempt: number): void;
}

export interface LinkDeps {
  timers: Timers;
  /** 0 ≤ x < 1. */
  chance(): number;
  onWake(listener: () => void): () => void;
  /** In the order of preference. */
  transports: [TransportKind, OpenTransport][];
}

export class Link {
  #deps: LinkDeps;
  #output: LinkOutput;
  #transport: Transport | null = null;
  #confirmed = false;
  /** Which of the transports is being tried, or was confirmed last. */
  #choice = 0;
  #triedInThisAttempt = 0;
  #attempt = 0;
  #lastHeard = 0;
  #nextDelay: number | null = null;
  #cancelWait: (() => void) | null = null;
  #cancelDeadline: (() => void) | null = null;
  #stops: (() => void)[] = [];

  constructor(deps: LinkDeps, output: LinkOutput) {
    this.#deps = deps;
    this.#output = output;
  }

  start(): void {
    this.#stops.push(this.#deps.onWake(() => this.#onWake()));
    this.#stops.push(this.#deps.timers.every(PING_AFTER_MS, () => this.#ping(PONG_WITHIN_MS)));
    this.#open();
  }

  stop(): void {
    for (const stop of this.#stops.splice(0)) stop();
    this.#clearTimers();
    this.#transport?.close();
    this.#transport = null;
    this.#confirmed = false;
  }

  send(frame: object): void {
    this.#transport?.send(frame);
  }

  /** The server has accepted our hello. */
  confirm(): void {
    this.#confirmed = true;
    this.#attempt = 0;
    this.#triedInThisAttempt = 0;
    this.#nextDelay = null;
    this.#cancelDeadline?.();
    this.#cancelDeadline = null;
  }

  /** The next time the transport is lost, wait this long (and no longer) before trying again. */
  expectRestart(delayMs: number): void {
    this.#nextDelay = delayMs;
  }

  /** Drops the transport and opens another. */
  reopen(patience: "at_once" | "backoff"): void {
    this.#drop();
    if (patience === "at_once" && this.#attempt < MAX_HASTE) {
      this.#attempt += 1;
      this.#open();
    } else {
      this.#wait();
    }
  }

  #open(): void {
    this.#clearTimers();
    const entry = this.#deps.transports[this.#choice];
    // A handler of `lost()` may have stopped us.
    if (!entry || this.#stops.length === 0) return;
    this.#cancelDeadline = this.#deps.timers.after(ACCEPT_WITHIN_MS, () => this.#onFailed());
    try {
      this.#transport = entry[1]({
        open: () => this.#output.open(),
        frame: (frame) => this.#onFrame(frame),
        closed: () => this.#onFailed(),
      });
    } catch {
      // A page's security policy may forbid the very attempt.
      this.#onFailed();
    }
  }

  #onFrame(frame: unknown): void {
    this.#lastHeard = this.#deps.timers.now();
    this.#output.frame(frame);
  }

  /** This transport is lost or never was. One that was never confirmed may be of a kind that does not get through. */
  #onFailed(): void {
    const wasConfirmed = this.#confirmed;
    this.#drop();
    if (wasConfirmed || this.#triedInThisAttempt + 1 >= this.#deps.transports.length) {
      this.#wait();
      return;
    }
    this.#triedInThisAttempt += 1;
    this.#choice = (this.#choice + 1) % this.#deps.transports.length;
    this.#open();
  }

  #drop(): void {
    const wasConfirmed = this.#confirmed;
    this.#confirmed = false;
    this.#clearTimers();
    this.#transport?.close();
    this.#transport = null;
    if (wasConfirmed) this.#output.lost();
  }

  #wait(): void {
    // `lost()` may have led to `stop()`.
    if (this.#stops.length === 0) return;
    this.#attempt += 1;
    this.#triedInThisAttempt = 0;
    const delay = this.#nextDelay ?? backoff(this.#attempt, this.#deps.chance());
    this.#nextDelay = null;
    this.#output.retrying(this.#attempt);
    this.#cancelWait = this.#deps.timers.after(delay, () => this.#open());
  }

  #onWake(): void {
    if (this.#cancelWait) this.#open();
    else this.#ping(PONG_WITHIN_MS_AFTER_WAKE);
  }

  /** Asks for a sign of life unless there was one a moment ago. */
  #ping(within: number): void {
    if (!this.#confirmed) return;
    const asked = this.#deps.timers.now();
    this.#transport?.send({ type: "ping" });
    this.#cancelDeadline?.();
    this.#cancelDeadline = this.#deps.timers.after(within, () => {
      this.#cancelDeadline = null;
      if (this.#lastHeard < asked) this.#onFailed();
    });
  }

  #clearTimers(): void {
    this.#cancelWait?.();
    this.#cancelWait = null;
    this.#cancelDeadline?.();
    this.#cancelDeadline = null;
  }
}

/** Doubles from half a second to ten, and is spread so that a thousand clients do not come back in the same instant. */
export function backoff(attempt: number, chance: number): number {
  const ceiling = Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(attempt - 1, 10));
  return Math.round(ceiling * (0.5 + chance / 2));
}

const FIRST_DELAY_MS = 500;
const MAX_DELAY_MS = 10_000;
const ACCEPT_WITHIN_MS = 8_000;
const PING_AFTER_MS = 15_000;
const PONG_WITHIN_MS = 8_000;
const PONG_WITHIN_MS_AFTER_WAKE = 3_000;
/** So often in a row is "at once" believed. */
const MAX_HASTE = 3;
