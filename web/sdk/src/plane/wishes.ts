// What of the others is to come through the server. Pure.
import type { Participant, Source, Track } from "../generated";
import { mayOf } from "../rights";
import { find, type Roster } from "../roster";
import type { Bandwidth } from "../types";
import type { Wish } from "./slots";

/** What decides about it, beside the roster. */
export interface View {
  /** How tall somebody's tiles are, in device pixels; what is not named is shown in the usual size. */
  readonly heights: ReadonlyMap<string, number>;
  /** Who has spoken lately, the last one first. */
  readonly speakers: readonly string[];
  readonly bandwidth: Bandwidth;
}

export function wishesOf(roster: Roster, view: View): Wish[] {
  const me = find(roster, roster.you);
  if (!mayOf(me).subscribe) return [];
  const isEncrypted = me?.encrypted === true;
  // What is encrypted is of use to those with a key, and to nobody else; what is not they do not want.
  const others = roster.participants.filter(
    ({ id, state, encrypted }) => id !== roster.you && state !== "ringing" && encrypted === isEncrypted,
  );
  const heard = firstOf(others, view.speakers, MOST_HEARD, (each) => isSending(each, "microphone"));
  const untold = others.filter(({ id }) => !view.heights.has(`${id}:camera`));
  const seen = firstOf(untold, view.speakers, MOST_SEEN, (each) => isSending(each, "camera"));
  const usual = usualHeight(others.length);
  return others.flatMap((other) =>
    other.tracks
      .filter((track) => isOn(other, track))
      .filter(({ source }) => source !== "microphone" || heard.has(other.id))
      .map((track) => wish(other, track, view, seen.has(other.id) ? usual : 0)),
  );
}

/** As many as may be of those who do something: whoever has spoken last, then whoever came first. */
function firstOf(
  others: readonly Participant[],
  speakers: readonly string[],
  most: number,
  does: (each: Participant) => boolean,
): ReadonlySet<string> {
  const able = others.filter(does).map(({ id }) => id);
  if (able.length <= most) return new Set(able);
  const spoke = speakers.filter((id) => able.includes(id));
  return new Set([...new Set([...spoke, ...able])].slice(0, most));
}

function wish({ id }: Participant, { id: track, source }: Track, view: View, usual: number): Wish {
  const key = `${id}:${source}`;
  switch (source) {
    case "microphone":
    case "screen_audio":
      return { key, kind: "audio", track, height: 0, priority: 2 };
    case "screen":
      return { key, kind: "video", track, height: view.heights.get(key) ?? SCREEN, priority: 1 };
    case "camera":
      return {
        key,
        kind: "video",
        track,
        height: Math.min(view.heights.get(key) ?? usual, CAMERA_AT_MOST[view.bandwidth]),
        priority: 0,
      };
  }
}

function isSending(other: Participant, source: Source): boolean {
  return other.tracks.some((track) => track.source === source && isOn(other, track));
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
/** Of more than so many whoever has not spoken for the longest time is not heard until the server says that it speaks. */
const MOST_HEARD = 24;
/** As long as no page has said which tiles there are. */
const MOST_SEEN = 24;
const CAMERA_AT_MOST: Record<Bandwidth, number> = { full: Infinity, low: 180, audio: 0 };
