// Signs in the call: which are played, when not, and that they are short and quiet.
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { CUES, CuePlayer, LOUDNESS, type Cue } from "../src/lib/cues.ts";
import type { Call, Notice } from "../src/lib/sdk.ts";
import { soundsOf } from "../src/pages/room/sounds.ts";

class FakeContext {
  state = "running";
  currentTime = 2;
  destination = {};
  started: number[] = [];
  peaks: number[] = [];
  resumed = 0;
  closed = false;
  sink = "";

  createOscillator = () => ({
    frequency: { value: 0 },
    connect: (next: unknown) => next,
    start: (at: number) => void this.started.push(at),
    stop: () => undefined,
  });
  createGain = () => ({
    gain: {
      setValueAtTime: () => undefined,
      linearRampToValueAtTime: (peak: number) => void this.peaks.push(peak),
      exponentialRampToValueAtTime: () => undefined,
    },
    connect: (next: unknown) => next,
  });
  resume = async (): Promise<void> => void (this.resumed += 1);
  close = async (): Promise<void> => void (this.closed = true);
  setSinkId = async (id: string): Promise<void> => void (this.sink = id);
}

function player(): { cues: CuePlayer; context: FakeContext; clock: { now: number } } {
  const context = new FakeContext();
  const clock = { now: 0 };
  return {
    cues: new CuePlayer(
      () => context as unknown as AudioContext,
      () => clock.now,
    ),
    context,
    clock,
  };
}

test.each(Object.entries(CUES))("%s is short and quiet", (_, notes) => {
  const end = Math.max(...notes.map(({ at, long }) => at + long));
  expect(end).toBeLessThanOrEqual(1);
  expect(LOUDNESS).toBeLessThan(0.1);
});

test("a sign is played through the chosen speaker, and ten at once are one", () => {
  const { cues, context, clock } = player();
  cues.setSpeaker("desk");
  for (let i = 0; i < 10; i += 1) cues.play("join");
  expect(context.sink).toBe("desk");
  expect(context.started).toEqual(CUES.join.map(({ at }) => 2 + at));
  expect(context.peaks).toEqual(CUES.join.map(() => LOUDNESS));
  clock.now += 2_000;
  cues.play("join");
  expect(context.started).toHaveLength(2 * CUES.join.length);
  cues.close();
  expect(context.closed).toBe(true);
});

test("where the browser keeps the page silent nothing is played late", () => {
  const { cues, context } = player();
  context.state = "suspended";
  cues.play("join");
  expect([context.started, context.resumed]).toEqual([[], 1]);
  const mute = new CuePlayer(() => {
    throw new Error("no audio here");
  });
  expect(() => mute.play("ring")).not.toThrow();
});

class FakeCall {
  canHost = true;
  peers: { info: { state: string } }[] = [];
  local: { screen: object | null } = { screen: null };
  listeners = new Map<string, Set<(value: unknown) => void>>();

  on(event: string, listener: (value: unknown) => void): () => void {
    const set = this.listeners.get(event) ?? new Set();
    this.listeners.set(event, set.add(listener));
    return () => set.delete(listener);
  }

  emit(event: string, value?: unknown): void {
    for (const listener of this.listeners.get(event) ?? []) listener(value);
  }

  notice(notice: Partial<Notice>): void {
    this.emit("notice", notice);
  }
}

let call: FakeCall;
let heard: Cue[];
let wanted: boolean;
let reading: boolean;

function listen(mode: "room" | "call"): () => void {
  const port = { play: (cue: Cue) => void heard.push(cue), wanted: () => wanted, reading: () => reading };
  return soundsOf(call as unknown as Call, mode, port);
}

beforeEach(() => {
  vi.useFakeTimers();
  [call, heard, wanted, reading] = [new FakeCall(), [], true, false];
});

afterEach(() => {
  vi.useRealTimers();
});

test("coming, going, a line and the door have their sign; what one does oneself has none", () => {
  const stop = listen("room");
  call.notice({ kind: "joined" });
  call.notice({ kind: "left", reason: "left" });
  call.notice({ kind: "left", reason: "declined" });
  call.notice({ kind: "locked" });
  call.emit("chat", { mine: false });
  call.emit("chat", { mine: true });
  call.notice({ kind: "ringing" });
  expect(heard).toEqual(["join", "leave", "message", "ring"]);
  stop();
  call.notice({ kind: "joined" });
  expect(heard).toHaveLength(4);
});

test("none when switched off, while the screen is shared, for a line that is being read, or at a door one cannot open", () => {
  listen("room");
  wanted = false;
  call.notice({ kind: "joined" });
  wanted = true;
  call.local = { screen: {} };
  call.notice({ kind: "joined" });
  call.local = { screen: null };
  reading = true;
  call.emit("chat", { mine: false });
  call.canHost = false;
  call.notice({ kind: "ringing" });
  expect(heard).toEqual([]);
});

test("a call rings until it is answered, and for a minute at most", () => {
  const stop = listen("call");
  call.peers = [{ info: { state: "ringing" } }];
  call.notice({ kind: "ringing" });
  vi.advanceTimersByTime(8_000);
  expect(heard).toEqual(["ring", "ring", "ring"]);
  call.emit("change");
  vi.advanceTimersByTime(4_000);
  expect(heard).toHaveLength(4);
  call.peers = [{ info: { state: "here" } }];
  call.emit("change");
  vi.advanceTimersByTime(60_000);
  expect(heard).toHaveLength(4);
  call.peers = [{ info: { state: "ringing" } }];
  call.notice({ kind: "ringing" });
  vi.advanceTimersByTime(600_000);
  expect(heard).toHaveLength(4 + 15);
  call.notice({ kind: "ringing" });
  stop();
  expect(vi.getTimerCount()).toBe(0);
});
