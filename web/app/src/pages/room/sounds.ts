// Which sign for what happens in the call, and when none: switched off, or while the own screen is shared, because its
// sound may go out with it.
import type { Cue } from "../../lib/cues.ts";
import type { Call } from "../../lib/sdk.ts";
import type { Mode } from "./session.svelte.ts";

export interface SoundsPort {
  play(cue: Cue): void;
  wanted(): boolean;
  /** The chat is open in front of the person: a new line is seen. */
  reading(): boolean;
}

/** Returns the function that ends it. */
export function soundsOf(call: Call, mode: Mode, port: SoundsPort): () => void {
  let bell: ReturnType<typeof setInterval> | null = null;
  let rung = 0;

  function play(cue: Cue): void {
    if (port.wanted() && call.local.screen === null) port.play(cue);
  }

  function stopBell(): void {
    if (bell !== null) clearInterval(bell);
    bell = null;
  }

  /** Only the host can open. A call rings on until it is answered or a minute has passed, a room knocks once. */
  function ring(): void {
    if (!call.canHost) return;
    play("ring");
    if (mode !== "call") return;
    stopBell();
    rung = 1;
    bell = setInterval(() => {
      rung += 1;
      if (rung > MOST_RINGS) stopBell();
      else play("ring");
    }, RING_EVERY_MS);
  }

  const stops = [
    call.on("notice", (notice) => {
      if (notice.kind === "joined") play("join");
      else if (notice.kind === "ringing") ring();
      else if (notice.kind === "left" && notice.reason !== "declined") play("leave");
    }),
    call.on("chat", (line) => {
      if (!line.mine && !port.reading()) play("message");
    }),
    call.on("change", () => {
      if (bell !== null && !call.peers.some(({ info }) => info.state === "ringing")) stopBell();
    }),
  ];
  return () => {
    stopBell();
    for (const stop of stops) stop();
  };
}

const RING_EVERY_MS = 4_000;
const MOST_RINGS = 15;
