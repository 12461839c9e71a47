// A call as Svelte sees it: whoever reads a getter is run again when the call says that something changed.
import { createSubscriber } from "svelte/reactivity";
import type {
  Bandwidth,
  Call,
  CallState,
  Caption,
  ChatLine,
  FileTransfer,
  Local,
  Participant,
  Peer,
  Permissions,
  Room,
} from "./sdk.ts";

export class CallView {
  readonly call: Call;
  readonly #subscribe: () => void;

  constructor(call: Call) {
    this.call = call;
    this.#subscribe = createSubscriber((update) => {
      const stop = [call.on("change", update), call.on("state", update)];
      return () => stop.forEach((off) => off());
    });
  }

  get state(): CallState {
    return this.#read().state;
  }

  get room(): Room | null {
    return this.#read().room;
  }

  get me(): Participant | null {
    return this.#read().me;
  }

  /** We may do what the host may. */
  get canHost(): boolean {
    return this.#read().canHost;
  }

  get may(): Permissions {
    return this.#read().may;
  }

  /** On the way from one room to another. */
  get moving(): boolean {
    return this.#read().moving;
  }

  get captions(): readonly Caption[] {
    return this.#read().captions;
  }

  get peers(): readonly Peer[] {
    return this.#read().peers;
  }

  /** Those who are in, and not only at the door. */
  get present(): readonly Peer[] {
    return this.peers.filter(({ info }) => info.state !== "ringing");
  }

  get ringing(): readonly Peer[] {
    return this.peers.filter(({ info }) => info.state === "ringing");
  }

  get chat(): readonly ChatLine[] {
    return this.#read().chat;
  }

  get files(): readonly FileTransfer[] {
    return this.#read().files;
  }

  get local(): Local {
    return this.#read().local;
  }

  get meshFull(): boolean {
    return this.#read().meshFull;
  }

  get canForward(): boolean {
    return this.#read().canForward;
  }

  get speakers(): readonly string[] {
    return this.#read().speakers;
  }

  get bandwidth(): Bandwidth {
    return this.#read().bandwidth;
  }

  nameOf(participant: string): string {
    return this.peers.find(({ info }) => info.id === participant)?.info.name ?? "";
  }

  #read(): Call {
    this.#subscribe();
    return this.call;
  }
}
