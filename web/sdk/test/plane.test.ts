import { expect, test } from "vitest";
import type { Participant, Source } from "../src/generated";
import { linesOf, setSizes, sizesOf } from "../src/plane/encodings";
import { assign, type Slot, type Wish } from "../src/plane/slots";
import { wishesOf, type View } from "../src/plane/wishes";
import type { Roster } from "../src/roster";
import { Speakers } from "../src/speakers";

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

function view(of: Partial<View> = {}): View {
  return { heights: new Map(), speakers: [], bandwidth: "full", ...of };
}

const ALL: Source[] = ["microphone", "camera", "screen", "screen_audio"];

test("what is on is wished for, of the others only, and of those who are in", () => {
  const ringing: Participant = { ...someone("p4", ALL, { audio: true }), state: "ringing" };
  const here = roster(someone("p1", ALL, { audio: true }), someone("p2", ALL, { audio: true, screen: true }), ringing);
  expect(wishesOf(here, view()).map(({ key }) => key)).toEqual(["p2:microphone", "p2:screen", "p2:screen_audio"]);
});

test("what the host has stopped takes no slot", () => {
  const stopped = someone("p2", ["camera"], { video: true });
  stopped.tracks[0] = { id: "t1", source: "camera", stopped: true };
  expect(wishesOf(roster(stopped), view())).toEqual([]);
});

test("a tile is asked for in the size in which it is shown, and in a usual one as long as nobody has said", () => {
  const ben = someone("p2", ["camera", "screen"], { video: true, screen: true });
  const heights = new Map([["p2:camera", 90]]);
  expect(wishesOf(roster(ben), view({ heights })).map(({ height }) => height)).toEqual([90, 1_080]);
  const many = Array.from({ length: 12 }, (_, i) => someone(`p${i + 2}`, ["camera"], { video: true }));
  expect(wishesOf(roster(...many), view())[0]?.height).toBe(180);
});

test("a picture out of sight keeps its slot until another one needs it, and never asks for one", () => {
  const all = slots(0, 2);
  const hidden = (key: string): Wish => ({ ...wish(key), height: 0 });
  expect(assign(all, [wish("a"), hidden("b")])).toEqual({ audio: 0, video: 0 });
  expect(keys(all)).toEqual(["a", null]);
  assign(all, [hidden("a"), wish("b")]);
  expect(keys(all)).toEqual(["a", "b"]);
  expect(assign(all, [hidden("a"), wish("b"), wish("c")])).toEqual({ audio: 0, video: 0 });
  expect(keys(all)).toEqual(["c", "b"]);
  expect(assign(all, [wish("a"), wish("b"), wish("c")])).toEqual({ audio: 0, video: 1 });
});

test("of very many those are heard who have spoken last, and the rest in the order they came", () => {
  const many = Array.from({ length: 40 }, (_, i) => someone(`p${i + 2}`, ["microphone"], { audio: true }));
  const heard = wishesOf(roster(...many), view({ speakers: ["p41", "p2"] })).map(({ key }) => key);
  expect(heard).toHaveLength(24);
  expect(heard).toContain("p41:microphone");
  expect(heard).toContain("p24:microphone");
  expect(heard).not.toContain("p25:microphone");
});

test("as long as no page says which tiles there are, no more pictures come than a page would show", () => {
  const many = Array.from({ length: 40 }, (_, i) => someone(`p${i + 2}`, ["camera"], { video: true }));
  const heights = new Map([["p41:camera", 90]]);
  const shown = wishesOf(roster(...many), view({ heights })).filter(({ height }) => height > 0);
  expect(shown).toHaveLength(25);
  expect(shown.at(-1)).toMatchObject({ key: "p41:camera", height: 90 });
});

test("to save bandwidth cameras come small, or not at all, and shared screens as ever", () => {
  const ben = roster(someone("p2", ["camera", "screen"], { video: true, screen: true }));
  const heights = new Map([["p2:camera", 720]]);
  const of = (bandwidth: View["bandwidth"]): number[] =>
    wishesOf(ben, view({ heights, bandwidth })).map(({ height }) => height);
  expect(of("full")).toEqual([720, 1_080]);
  expect(of("low")).toEqual([180, 1_080]);
  expect(of("audio")).toEqual([0, 1_080]);
});

test("who has spoken lately: as the server says, or as we hear it, and two at once do not take turns", () => {
  const speakers = new Speakers();
  expect(speakers.handleServer(["p3", "p1", "p2"], "p1")).toBe(true);
  expect(speakers.recent).toEqual(["p3", "p2"]);
  expect(speakers.handleServer(["p3", "p1", "p2"], "p1")).toBe(false);
  expect(speakers.handleHeard(["p2"])).toBe(true);
  expect(speakers.handleHeard(["p3", "p2"])).toBe(false);
  expect(speakers.recent).toEqual(["p2", "p3"]);
  speakers.keep(new Set(["p3"]));
  expect(speakers.recent).toEqual(["p3"]);
  speakers.handleServer(
    Array.from({ length: 500 }, (_, i) => `q${i}`),
    "p1",
  );
  expect(speakers.recent).toHaveLength(64);
});

test.each([
  [{ width: 1_280, height: 720 }, Infinity, [4, 2, 1], [true, true, true]],
  [{ width: 1_280, height: 720 }, 2, [4, 2, 1], [true, true, false]],
  [{ width: 1_280, height: 720 }, 0, [4, 2, 1], [true, false, false]],
  // A phone held upright.
  [{ width: 720, height: 1_280 }, 3, [4, 2, 1], [true, true, true]],
  [{ width: 640, height: 480 }, 3, [2, 1, 1], [true, true, false]],
  [{ width: 320, height: 180 }, 3, [1, 2, 1], [true, false, false]],
])("a camera of %j, watched in %d sizes, goes up scaled by %j, %j", async (settings, watched, scales, active) => {
  const parameters = {
    encodings: [4, 2, 1].map((scaleResolutionDownBy) => ({ scaleResolutionDownBy, active: true })),
  } as RTCRtpSendParameters;
  let told = 0;
  const sender = {
    track: { getSettings: () => settings },
    getParameters: () => parameters,
    setParameters: () => Promise.resolve(void (told += 1)),
  } as unknown as RTCRtpSender;
  await setSizes(sender, watched);
  expect(parameters.encodings.map((each) => each.scaleResolutionDownBy)).toEqual(scales);
  expect(parameters.encodings.map((each) => each.active)).toEqual(active);
  // Said once; the same again says nothing.
  await setSizes(sender, watched);
  expect(told).toBe(1);
});

test("a camera that does not say how large it is counts as a large one", () => {
  expect(sizesOf(linesOf(null))).toHaveLength(3);
  expect(sizesOf(linesOf({ getSettings: () => ({}) } as MediaStreamTrack))).toHaveLength(3);
});
