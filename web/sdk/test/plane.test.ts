import { expect, test } from "vitest";
import type { Participant, Source } from "../src/generated";
import { assign, type Slot, type Wish } from "../src/plane/slots";
import { wishesOf } from "../src/plane/wishes";
import type { Roster } from "../src/roster";

const wish = (key: string, kind: "audio" | "video" = "video"): Wish => ({
  key,
  kind,
  track: `t-${key}`,
  height: 360,
  priority: 0,
});
const slots = (audio: number, video: number): Slot[] => [
  ...Array.from({ length: audio }, (): Slot => ({ kind: "audio", wish: null })),
  ...Array.from({ length: video }, (): Slot => ({ kind: "video", wish: null })),
];
const keys = (of: readonly Slot[]): (string | null)[] => of.map((slot) => slot.wish?.key ?? null);

test("who is shown in a slot stays there when others come and go", () => {
  const all = slots(1, 3);
  expect(assign(all, [wish("a", "audio"), wish("x"), wish("y"), wish("z")])).toEqual({ audio: 0, video: 0 });
  expect(keys(all)).toEqual(["a", "x", "y", "z"]);
  assign(all, [wish("z"), wish("x")]);
  expect(keys(all)).toEqual([null, "x", null, "z"]);
  assign(all, [wish("new"), wish("x"), wish("z")]);
  expect(keys(all)).toEqual([null, "x", "new", "z"]);
});

test("what finds no slot is counted by kind, and a slot takes only its own", () => {
  const all = slots(1, 1);
  expect(assign(all, [wish("a"), wish("b"), wish("c")])).toEqual({ audio: 0, video: 2 });
  expect(assign(all, [wish("a", "audio"), wish("b", "audio")])).toEqual({ audio: 1, video: 0 });
  expect(keys(all)).toEqual(["a", null]);
});

test("a wish that has changed is the new one in the old place", () => {
  const all = slots(0, 1);
  assign(all, [wish("a")]);
  assign(all, [{ ...wish("a"), height: 720, track: "t9" }]);
  expect(all[0]?.wish).toMatchObject({ height: 720, track: "t9" });
});

function roster(...participants: Participant[]): Roster {
  const limits = { frame_bytes: 1, sdp_bytes: 1, chat_chars: 1, name_chars: 1, participants: 9, mesh: 2, sfu: true };
  return { you: "p1", room: { topology: "sfu" } as Roster["room"], participants, limits };
}

function someone(id: string, sources: Source[], on: Partial<Participant["media"]> = {}): Participant {
  return {
    id,
    name: id,
    media: { audio: false, video: false, screen: false, ...on },
    state: "here",
    hide_address: false,
    encrypted: false,
    client: "web",
    epoch: 1,
    joined_at: 1,
    tracks: sources.map((source) => ({ id: `t-${id}-${source}`, source, stopped: false })),
  };
}

const ALL: Source[] = ["microphone", "camera", "screen", "screen_audio"];

test("what is on is wished for, of the others only, and of those who are in", () => {
  const ringing: Participant = { ...someone("p4", ALL, { audio: true }), state: "ringing" };
  const here = roster(someone("p1", ALL, { audio: true }), someone("p2", ALL, { audio: true, screen: true }), ringing);
  expect(wishesOf(here, new Map()).map(({ key }) => key)).toEqual(["p2:microphone", "p2:screen", "p2:screen_audio"]);
});

test("what the host has stopped takes no slot", () => {
  const stopped = someone("p2", ["camera"], { video: true });
  stopped.tracks[0] = { id: "t1", source: "camera", stopped: true };
  expect(wishesOf(roster(stopped), new Map())).toEqual([]);
});

test("a tile is asked for in the size in which it is shown, and in a usual one as long as nobody has said", () => {
  const ben = someone("p2", ["camera", "screen"], { video: true, screen: true });
  const heights = new Map([["p2:camera", 90]]);
  expect(wishesOf(roster(ben), heights).map(({ height }) => height)).toEqual([90, 1_080]);
  const many = Array.from({ length: 12 }, (_, i) => someone(`p${i + 2}`, ["camera"], { video: true }));
  expect(wishesOf(roster(...many), new Map())[0]?.height).toBe(180);
});
