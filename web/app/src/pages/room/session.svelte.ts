// The life of one page: green room, ringing, call, end, and back. Knows the order; the SDK does the work.
import { CallView } from "../../lib/call-view.svelte.ts";
import { openPreferred } from "../../lib/media.ts";
import { readPreferences } from "../../lib/preferences.ts";
import { rememberRoom } from "../../lib/recent.ts";
import type { Call, CallState, EndReason } from "../../lib/sdk.ts";
import { roomLink } from "../../lib/rooms.ts";
import { leaveStay, takeStay, type Stay } from "../../lib/stay.ts";
import { addressOf } from "../../lib/token.ts";
import { Green } from "./green.svelte.ts";

export type Mode = "room" | "call";
export type Phase = "green" | "returning" | "ringing" | "call" | "end";

interface Entrance {
  readonly name: string;
  readonly hideAddress: boolean;
  readonly microphone: MediaStreamTrack | null;
  readonly camera: MediaStreamTrack | null;
}

export class Session {
  readonly view: CallView;
  /** Where we are: in a breakout room another than at first. */
  room = $state("");
  readonly mode: Mode;
  /** Of an encrypted call, from its link. */
  readonly key: string | null;
  /** Of an invitation, from its link. */
  readonly token: string | null;
  green = $state.raw<Green | null>(null);
  /** Unix time in milliseconds at which we came in; `null` before. */
  since = $state<number | null>(null);
  /** How long the call that just ended lasted; `null` when it never began. */
  lasted = $state<number | null>(null);
  /** It ended because we came back to a breakout room in which we have no place any more. */
  breakoutOver = $state(false);
  #returning = $state(false);
  /** The main room of the breakout room that we were in before the page was reloaded. */
  #parent = $state<string | null>(null);
  readonly #fallbackName: () => string;

  constructor(
    call: Call,
    place: { room: string; mode: Mode; key: string | null; token: string | null },
    fallbackName: () => string,
  ) {
    this.view = new CallView(call);
    this.room = place.room;
    this.mode = place.mode;
    this.key = place.key;
    this.token = place.token;
    this.#fallbackName = fallbackName;
    call.on("state", (state) => this.#onState(state));
    call.on("notice", (notice) => {
      if (notice.kind === "moved") this.#goTo(notice.room);
    });
  }

  /** A reloaded page goes straight back in; any other begins in the green room. */
  async start(): Promise<void> {
    const stay = takeStay(this.room);
    if (stay === null) this.openGreenRoom();
    else await this.#comeBack(stay);
  }

  get phase(): Phase {
    const { state } = this.view.state;
    if (state === "joined" && this.#parent !== null) return "returning";
    if (state === "joined" || state === "reconnecting") return "call";
    if (state === "ringing") return "ringing";
    if (this.green !== null) return "green";
    return state === "ended" && !this.#returning ? "end" : "returning";
  }

  get joining(): boolean {
    return this.view.state.state === "joining";
  }

  openGreenRoom(): void {
    this.green?.close();
    this.green = new Green();
    void this.green.start();
  }

  async join(): Promise<void> {
    if (this.green === null || this.joining) return;
    const { name, hideAddress } = this.green.preferences;
    const tracks = this.green.handOver();
    await this.#enter({ name: name.trim() || this.#fallbackName(), hideAddress, ...tracks });
  }

  async leave(): Promise<void> {
    await this.view.call.leave();
  }

  async #comeBack(stay: Stay): Promise<void> {
    this.#returning = true;
    const { microphoneId, cameraId } = readPreferences();
    // What does not open any more is left off: being back in the call comes first.
    const [microphone, camera] = await Promise.all([
      stay.microphone ? openPreferred("microphone", microphoneId).catch(() => null) : null,
      stay.camera ? openPreferred("camera", cameraId).catch(() => null) : null,
    ]);
    this.since = stay.since;
    this.#parent = stay.parent;
    await this.#enter({ name: stay.name, hideAddress: stay.hideAddress, microphone, camera });
    this.#returning = false;
  }

  async #enter(entrance: Entrance): Promise<void> {
    try {
      await this.view.call.join({
        room: this.room,
        ...entrance,
        cameraCodec: readPreferences().cameraCodec,
        ...(this.key === null ? {} : { key: this.key }),
        ...(this.token === null ? {} : { token: this.token }),
        ...(this.mode === "call" ? { entry: "ring" as const } : {}),
      });
    } catch {
      // The state says `ended` and why; the end page shows it.
      entrance.microphone?.stop();
      entrance.camera?.stop();
    }
  }

  #onState(state: CallState): void {
    if (state.state === "joined") this.#onJoined();
    if (state.state === "ended") this.#onEnded(state.reason);
  }

  #onJoined(): void {
    // The breakout room is closed, and this is a room of its name that we have just made.
    if (this.#parent !== null && this.view.call.room?.parent === undefined) {
      void this.leave();
      return;
    }
    this.#parent = null;
    this.green = null;
    this.lasted = null;
    this.since ??= Date.now();
    // Nobody comes into a breakout room by its link.
    if (this.view.call.room?.parent === undefined) rememberRoom(this.room, Date.now(), this.key);
  }

  /** The same tab, key and invitation, in another room. */
  #goTo(room: string): void {
    this.room = room;
    const path = roomLink("", room);
    history.replaceState(history.state, "", addressOf(path, location.hash));
  }

  #onEnded(reason: EndReason): void {
    // The way back leads through the main room.
    const parent = this.view.call.room?.parent ?? this.#parent;
    this.breakoutOver = this.#parent !== null && (reason === "forbidden" || reason === "left");
    if (parent !== null) this.#goTo(parent);
    this.#parent = null;
    this.green?.close();
    this.green = null;
    this.lasted = this.since === null ? null : Date.now() - this.since;
    this.since = null;
  }

  /** The page goes away, perhaps to be reloaded: leaves what that would have to bring back. */
  handlePageHide(): void {
    const { me, local, room } = this.view.call;
    if (me === null || this.since === null) return;
    leaveStay({
      room: this.room,
      parent: room?.parent ?? null,
      name: me.name,
      hideAddress: me.hide_address,
      microphone: local.microphone !== null,
      camera: local.camera !== null,
      since: this.since,
    });
  }
}
