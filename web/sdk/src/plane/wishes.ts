// What of the others is to come through the server. Pure.
import type { Participant, Source, Track } from "../generated";
import type { Roster } from "../roster";
import type { Wish } from "./slots";

/** How tall somebody's tiles are, in device pixels; what is not named is shown in the usual size. */
export type Heights = ReadonlyMap<string, number>;

export function wishesOf(roster: Roster, heights: Heights): Wish[] {
  const isEncrypted = roster.participants.some(({ id, encrypted }) => id === roster.you && encrypted);
  // What is encrypted is of use to those with a key, and to nobody else; what is not they do not want.
  const others = roster.participants.filter(
    ({ id, state, encrypted }) => id !== roster.you && state !== "ringing" && encrypted === isEncrypted,
  );
  const usual = usualHeight(others.length);
  return others.flatMap((other) =>
    other.tracks.filter((track) => isOn(other, track)).map((track) => wish(other, track, heights, usual)),
  );
}

function wish({ id }: Participant, { id: track, source }: Track, heights: Heights, usual: number): Wish {
  const key = `${id}:${source}`;
  switch (source) {
    case "microphone":
    case "screen_audio":
      return { key, kind: "audio", track, height: 0, priority: 2 };
    case "screen":
      return { key, kind: "video", track, height: heights.get(key) ?? SCREEN, priority: 1 };
    case "camera":
      return { key, kind: "video", track, height: heights.get(key) ?? usual, priority: 0 };
  }
}

/** What is off takes no slot. */
function isOn({ media }: Participant, { source, stopped }: Track): boolean {
  const on: Record<Source, boolean> = {
    microphone: media.audio,
    camera: media.video,
    screen: media.screen,
    screen_audio: media.screen,
  };
  return on[source] && !stopped;
}

function usualHeight(others: number): number {
  if (others <= 1) return 720;
  if (others <= 4) return 480;
  return others <= 9 ? 360 : 180;
}

const SCREEN = 1_080;
