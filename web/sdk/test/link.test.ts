import { beforeEach, expect, test } from "vitest";
import { backoff, Link } from "../src/link";
import type { TransportHandlers, TransportKind } from "../src/transport/transport";
import { Clock } from "./fakes";

interface Opened extends TransportHandlers {
  kind: TransportKind;
  sent: object[];
  over: boolean;
}

let clock: Clock;
let opened: Opened[];
let happened: string[];
let wake: () => void;
let link: Link;

beforeEach(() => {
  clock = new Clock();
  opened = [];
  happened = [];
  link = create(["websocket", "polling"]);
});

function create(kinds: TransportKind[]): Link {
  return new Link(
    {
      timers: clock,
      chance: () => 0.5,
      onWake: (listener) => {
        wake = listener;
        return () => (wake = () => undefined);
      },
      transports: kinds.map((kind) => [
        kind,
        (handlers) => {
          const transport: Opened = { ...handlers, kind, sent: [], over: false };
          opened.push(transport);
          return { send: (frame) => transport.sent.push(frame), close: () => void (transport.over = true) };
        },
      ]),
    },
    {
      open: () => happened.push("open"),
      frame: () => happened.push("frame"),
      lost: () => happened.push("lost"),
      retrying: (attempt) => happened.push(`retry ${attempt}`),
    },
  );
}

const last = (): Opened => {
  const transport = opened.at(-1);
  if (!transport) throw new Error("nothing was opened");
  return transport;
};

function up(): void {
  link.start();
  last().open();
  link.confirm();
}

test("where no WebSocket opens, polling is tried in the same attempt", () => {
  link.start();
  last().closed();
  expect(opened.map(({ kind }) => kind)).toEqual(["websocket", "polling"]);
  last().open();
  link.confirm();
  expect(happened).toEqual(["open"]);
});

test("a WebSocket that opens but lets nothing through is not waited for in vain", async () => {
  link.start();
  last().open();
  await clock.advance(8_000);
  expect(opened.map(({ kind, over }) => [kind, over])).toEqual([
    ["websocket", true],
    ["polling", false],
  ]);
});

test("after a loss it tries again, later each time, and without end", async () => {
  up();
  for (let i = 0; i < 5; i += 1) {
    for (const _ of [0, 1]) last().closed();
    await clock.advance(20_000);
  }
  expect(happened.filter((each) => each === "lost")).toHaveLength(1);
  expect(happened.filter((each) => each.startsWith("retry")).length).toBeGreaterThan(3);
  expect([1, 2, 3, 9].map((attempt) => backoff(attempt, 0.5))).toEqual([375, 750, 1_500, 7_500]);
  expect(backoff(1, 0)).toBeLessThan(backoff(1, 0.99));
});

test("the server's own word on when to come back is followed once", async () => {
  up();
  link.expectRestart(3_000);
  last().closed();
  await clock.advance(2_999);
  expect(opened).toHaveLength(1);
  await clock.advance(1);
  expect(opened).toHaveLength(2);
});

test("waking up ends the waiting", async () => {
  up();
  for (let i = 0; i < 3; i += 1) {
    last().closed();
    await clock.advance(400 * 2 ** i);
  }
  const before = opened.length;
  last().closed();
  last().closed();
  wake();
  expect(opened.length).toBeGreaterThan(before);
});

test("a silent way is asked for a sign of life, and given up without one", async () => {
  up();
  await clock.advance(15_000);
  expect(last().sent).toEqual([{ type: "ping" }]);
  last().frame("pong");
  await clock.advance(8_000);
  expect(happened).not.toContain("lost");
  await clock.advance(16_000);
  expect(happened).toContain("lost");
  expect(opened[0]?.over).toBe(true);
});

test("haste is not believed for ever", () => {
  link.start();
  for (let i = 0; i < 10; i += 1) link.reopen("at_once");
  expect(opened.length).toBeLessThan(6);
  expect(happened.at(-1)).toMatch(/^retry/);
});

test("after stop nothing is open, armed or listened to", async () => {
  up();
  last().closed();
  link.stop();
  expect(clock.armed).toBe(0);
  wake();
  await clock.advance(100_000);
  expect(opened).toHaveLength(1);
});
