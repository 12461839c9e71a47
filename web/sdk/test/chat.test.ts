import { beforeEach, expect, test } from "vitest";
import { Chat, wellFormed } from "../src/chat";
import { CallError } from "../src/errors";
import type { Request } from "../src/session";
import { Clock, settle } from "./fakes";

let clock: Clock;
let direct: Set<string>;
let classic: Set<string>;
let readers: string[];
let sentDirect: [string, Record<string, unknown>][];
let requests: Request[];
let refuse: CallError | null;
let chat: Chat;

beforeEach(() => {
  clock = new Clock();
  direct = new Set(["p2", "p3"]);
  classic = new Set();
  readers = ["p2", "p3"];
  sentDirect = [];
  requests = [];
  refuse = null;
  const names: Record<string, string> = { p1: "Ann", p2: "Bob", p3: "Eve" };
  chat = new Chat(
    { timers: clock, random: (bytes) => crypto.getRandomValues(new Uint8Array(bytes)) },
    {
      self: () => ({ id: "p1", name: "Ann", chars: 20 }),
      readers: () => readers,
      isClassic: (id) => classic.has(id),
      nameOf: (id) => names[id] ?? null,
      isDirect: (id) => direct.has(id),
      sealer: () => null,
      sendDirect: (id, text) => {
        sentDirect.push([id, JSON.parse(text) as Record<string, unknown>]);
        return direct.has(id);
      },
      request: (frame) => {
        requests.push(frame);
        return refuse ? Promise.reject(refuse) : Promise.resolve();
      },
      said: () => undefined,
    },
  );
});

function acknowledge(from: string): void {
  const id = sentDirect.find(([to]) => to === from)?.[1]["id"];
  chat.handleDirect(from, { type: "ack", id });
}

test("a line goes directly to readers who are all connected, and is done when all have it", async () => {
  const said = chat.say("hello");
  acknowledge("p2");
  acknowledge("p3");
  await said;
  expect(sentDirect.map(([to]) => to)).toEqual(["p2", "p3"]);
  expect(requests).toEqual([]);
  expect(chat.lines).toMatchObject([{ from: "p1", name: "Ann", text: "hello", mine: true, private: false }]);
});

test("a reader who stays silent gets it through the server, and hears it once", async () => {
  const said = chat.say("hello");
  acknowledge("p2");
  await clock.advance(4_000);
  await said;
  expect(requests).toMatchObject([{ type: "message", to: "p3", data: { tandem: "chat", text: "hello" } }]);
  const { id } = sentDirect[1]?.[1] ?? {};
  chat.handleDirect("p2", { type: "chat", id, text: "twice", private: false });
  chat.handleMessage("p2", { tandem: "chat", id, text: "twice", private: false });
  expect(chat.lines.filter(({ from }) => from === "p2")).toHaveLength(1);
  expect(clock.armed).toBe(0);
});

test("when one reader is not connected, all get it through the server", async () => {
  direct.delete("p3");
  await chat.say("hello");
  expect(requests).toEqual([{ type: "chat", text: "hello" }]);
  expect(sentDirect).toEqual([]);
  await chat.say("psst", "p3");
  expect(requests[1]).toEqual({ type: "chat", text: "psst", to: "p3" });
  expect(chat.lines[1]).toMatchObject({ private: true });
});

test("a private line goes to one reader only", async () => {
  const said = chat.say("psst", "p3");
  acknowledge("p3");
  await said;
  expect(sentDirect).toMatchObject([["p3", { private: true }]]);
});

test("classic readers get a message, whoever else is there", async () => {
  classic.add("p3");
  const said = chat.say("hello");
  acknowledge("p2");
  await said;
  expect(requests).toMatchObject([{ type: "message", to: "p3", data: { sender: "Ann", text: "hello" } }]);
});

test("a line the server refuses is not in the history; one to somebody who just left is no error", async () => {
  direct.clear();
  refuse = new CallError("too_many", "Slow down.");
  await expect(chat.say("hello")).rejects.toMatchObject({ reason: "too_many" });
  expect(chat.lines).toEqual([]);
  direct = new Set(["p2", "p3"]);
  refuse = new CallError("no_such_participant", "Gone.");
  const said = chat.say("bye", "p2");
  await clock.advance(4_000);
  await said;
  expect(chat.lines).toHaveLength(1);
});

test("alone in the room one may still write", async () => {
  readers = [];
  await chat.say("note to self");
  expect(chat.lines).toHaveLength(1);
  expect(requests).toEqual([]);
});

test("nothing, and too much, is refused; characters are counted as the server counts them", async () => {
  readers = [];
  await expect(chat.say("  \n")).rejects.toMatchObject({ reason: "misuse" });
  await expect(chat.say("x".repeat(21))).rejects.toMatchObject({ reason: "too_large" });
  await chat.say("😀".repeat(20));
  expect(chat.lines).toHaveLength(1);
});

test("half a character becomes a replacement character", () => {
  expect(wellFormed("a\uD83Db\uDE00c😀")).toBe("a\uFFFDb\uFFFDc😀");
});

test("what others say is kept in order of arrival, and doubles are dropped", () => {
  chat.handleDirect("p2", { type: "chat", id: "1", text: "one" });
  chat.handleDirect("p2", { type: "chat", id: "1", text: "one" });
  chat.handleChat("p3", "two", 5, true);
  chat.handleDirect("p3", { type: "chat", id: "1", text: "three", private: true });
  expect(chat.lines.map(({ name, text, private: only }) => [name, text, only])).toEqual([
    ["Bob", "one", false],
    ["Eve", "two", true],
    ["Eve", "three", true],
  ]);
  expect(sentDirect.filter(([, { type }]) => type === "ack")).toHaveLength(3);
});

test("hostile lines change nothing", async () => {
  for (const value of [null, 7, [], {}, { type: "chat" }, { type: "chat", id: 7, text: "x" }]) {
    chat.handleDirect("p2", value);
    chat.handleMessage("p2", value);
  }
  chat.handleDirect("p2", { type: "chat", id: "x".repeat(1_000), text: "x" });
  chat.handleDirect("p2", { type: "chat", id: "1", text: "x".repeat(10_000) });
  chat.handleDirect("p9", { type: "chat", id: "1", text: "who?" });
  await settle();
  expect(chat.lines).toEqual([]);
});

test("the history is bounded", () => {
  for (let i = 0; i < 1_500; i += 1) chat.handleDirect("p2", { type: "chat", id: String(i), text: String(i) });
  expect(chat.lines).toHaveLength(1_000);
  expect(chat.lines.at(-1)?.text).toBe("1499");
});
