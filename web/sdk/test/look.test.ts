import { beforeEach, expect, test } from "vitest";
import { createCall } from "../src/call";
import { lookInto } from "../src/look";
import { FakeServer } from "./fake-server";
import { bench, Clock, settle } from "./fakes";

let server: FakeServer;
let clock: Clock;

beforeEach(() => {
  server = new FakeServer();
  clock = new Clock();
});

function look(signal?: AbortSignal): ReturnType<typeof lookInto> {
  return lookInto("room", signal ? { signal } : {}, bench(server, clock).deps);
}

test("who looks learns who is there, is not seen, and leaves nothing behind", async () => {
  expect(await look()).toEqual({ door: "empty", participants: 0, names: [] });
  const ann = createCall(bench(server, clock).deps);
  await ann.join({ room: "room", name: "Ann" });
  const timers = clock.armed;
  expect(await look()).toEqual({ door: "open", participants: 1, names: ["Ann"] });
  await settle();
  expect(ann.peers).toEqual([]);
  expect(server.sockets.size).toBe(1);
  expect(clock.armed).toBe(timers);
  await ann.lock(true);
  expect(await look()).toEqual({ door: "locked", participants: 0, names: [] });
});

test("a server that cannot be reached, or does not understand, says nothing", async () => {
  server.reachable = false;
  expect(await look()).toBeNull();
  server.reachable = true;
  server.handle = (socket) => socket.refuse("unknown_type", "expected `join` or `resume`");
  expect(await look()).toBeNull();
  server.handle = () => undefined;
  const silent = look();
  await clock.advance(12_000);
  expect(await silent).toBeNull();
  expect(clock.armed).toBe(0);
});

test("a look that is given up ends at once", async () => {
  server.handle = () => undefined;
  const abort = new AbortController();
  const looking = look(abort.signal);
  await settle();
  abort.abort();
  expect(await looking).toBeNull();
  await settle();
  expect(server.sockets.size).toBe(0);
  expect(await look(abort.signal)).toBeNull();
});
