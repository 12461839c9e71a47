// When is a connection in trouble, and when is ICE to be restarted?
//
//   connecting ──connected──► connected ──disconnected──► trouble ──4 s, or failed: restart──► …
//       └──15 s without success: restart──┘                  └──3 restarts in vain──► failed (still tried every 30 s)
import type { Timers } from "../deps";
import type { ConnectionState } from "./connection";

export interface RecoveryOutput {
  changed(): void;
  restart(): void;
}

export class Recovery {
  state: ConnectionState = "connecting";
  #pc: RTCPeerConnection;
  #initiator: boolean;
  #timers: Timers;
  #output: RecoveryOutput;
  #vain = 0;
  #cancel: (() => void) | null = null;

  constructor(pc: RTCPeerConnection, initiator: boolean, timers: Timers, output: RecoveryOutput) {
    this.#pc = pc;
    this.#initiator = initiator;
    this.#timers = timers;
    this.#output = output;
    pc.onconnectionstatechange = () => this.#onConnectionState();
    this.#later(ATTEMPT_MS);
  }

  /** A description was refused by the browser: no restart will mend that, a new epoch may. */
  handleUnusable(): void {
    if (this.state === "connected") return;
    this.#cancelTimer();
    this.#set("failed");
  }

  /** Something has changed for the better: try now. */
  nudge(): void {
    if (this.state === "connected" && this.#pc.connectionState === "connected") return;
    if (this.state === "connecting" && this.#vain === 0) return;
    this.#restart();
  }

  stop(): void {
    this.#cancelTimer();
    this.#pc.onconnectionstatechange = null;
  }

  #onConnectionState(): void {
    switch (this.#pc.connectionState) {
      case "connected":
        this.#vain = 0;
        this.#cancelTimer();
        this.#set("connected");
        return;
      case "disconnected":
        if (this.state === "connected") this.#set("trouble");
        this.#later(DISCONNECTED_MS);
        return;
      case "failed":
        if (this.state === "connected") this.#set("trouble");
        // The polite side waits a moment, so that the two do not offer at once.
        this.#later(this.#initiator ? 0 : POLITE_DELAY_MS);
        return;
      case "new":
      case "connecting":
      case "closed":
    }
  }

  #restart(): void {
    this.#vain += 1;
    if (this.#vain > RESTARTS) this.#set("failed");
    this.#later(this.#vain > RESTARTS ? HOPELESS_MS : ATTEMPT_MS);
    this.#output.restart();
  }

  #later(ms: number): void {
    this.#cancelTimer();
    this.#cancel = this.#timers.after(ms, () => this.#restart());
  }

  #cancelTimer(): void {
    this.#cancel?.();
    this.#cancel = null;
  }

  #set(state: ConnectionState): void {
    if (this.state === state) return;
    this.state = state;
    this.#output.changed();
  }
}

const ATTEMPT_MS = 15_000;
const DISCONNECTED_MS = 4_000;
const POLITE_DELAY_MS = 2_000;
const RESTARTS = 3;
const HOPELESS_MS = 30_000;
