import { beforeEach, expect, test } from "vitest";
import type { ClientFrame, Hello, Join, Joined } from "../src/generated";
import { Session, type SessionOutput } from "../src/session";
import { LIMITS } from "./fake-server";

const JOINED: Joined & { type: "joined" } = {
  type: "joined",
  you: "p1",
  resume_token: "secret",
  resume_ms: 30_000,
  room: {
    name: "room",
    host: "p1",
    locked: false,
    entry: "open",
    topology: "p2p" as const,
    always_sfu: false,
    tokens: false,
    watch_only: false,
    relay_only: false,
    started_at: 1,
    counts: { participants: 1, audio: 0, video: 0, screen: 0 },
  },
  participants: [],
  ice_servers: [],
  limits: LIMITS,
};
const MEDIA = { audio: true, video: false, screen: false };

let sent: (Hello | ClientFrame)[];
let happened: string[];
let session: Session;
let join: Join;

beforeEach(() => {
  session = create(null);
});

function create(token: string | null): Session {
  sent = [];
  happened = [];
  const output: SessionOutput = {
    send: (frame) => sent.push(frame),
    joined: (_, how) => happened.push(`joined ${how}`),
    resumed: () => happened.push("resumed"),
    event: (event) => happened.push(event.type),
    note: () => undefined,
    draining: (ms) => happened.push(`draining ${ms}`),
    reopen: (patience) => happened.push(`reopen ${patience}`),
    closed: (reason) => happened.push(`closed ${reason}`),
  };
  join = { room: "room", name: "Ann", hide_address: false, media: MEDIA, entry: "open", encrypted: false };
  return new Session({ join: () => join, place: token === null ? null : { token }, media: () => MEDIA }, output);
}

function event(n: number, rest: object): void {
  session.handleFrame(0, JSON.stringify({ n, ...rest }));
}

function note(now: number, rest: object): void {
  session.handleFrame(now, JSON.stringify(rest));
}

const chat = { type: "chat", from: "p2", text: "hi", at: 1, private: false };
const ok = (to: number): object => ({ type: "reply", to, outcome: "ok" });

function live(): void {
  session.handleOpen();
  event(1, JOINED);
  sent = [];
  happened = [];
}

test("a new participant joins, one with a token from before the reload resumes without a number", () => {
  session.handleOpen();
  expect(sent).toEqual([expect.objectContaining({ type: "join", room: "room", name: "Ann", media: MEDIA })]);
  session = create("old");
  session.handleOpen();
  expect(sent).toEqual([{ type: "resume", token: "old", media: MEDIA }]);
  event(1, JOINED);
  expect(happened).toEqual(["joined reloaded"]);
});

test("a token that has expired over a reload leads to a join on a new transport", () => {
  session = create("old");
  session.handleOpen();
  note(0, { type: "refused", reason: "resume_expired", detail: "", fatal: true });
  expect(happened).toEqual(["reopen at_once"]);
  session.handleOpen();
  expect(sent.at(-1)).toMatchObject({ type: "join" });
});

test("requests are numbered from 1 and settled by their replies, in any order", async () => {
  live();
  const first = session.request({ type: "rename", name: "A" });
  const second = session.request({ type: "lock", locked: true });
  expect(sent).toEqual([
    { id: 1, type: "rename", name: "A" },
    { id: 2, type: "lock", locked: true },
  ]);
  event(2, { type: "reply", to: 2, outcome: "refused", reason: "not_host", detail: "Only the host may." });
  event(3, ok(1));
  event(4, ok(77));
  await expect(first).resolves.toBeUndefined();
  await expect(second).rejects.toMatchObject({ reason: "not_host", message: "Only the host may." });
});

test("an event that comes twice is heard once; one that is missing asks for a new transport", () => {
  live();
  event(2, chat);
  event(2, chat);
  event(1, chat);
  expect(happened).toEqual(["chat"]);
  event(4, chat);
  expect(happened).toEqual(["chat", "reopen backoff"]);
});

test("after a lost transport it resumes from the last event and resends what the server has not seen", async () => {
  live();
  event(2, chat);
  const first = session.request({ type: "rename", name: "A" });
  const second = session.request({ type: "rename", name: "B" });
  session.handleLost(0);
  const third = session.request({ type: "rename", name: "C" });
  sent = [];
  session.handleOpen();
  expect(sent).toEqual([{ type: "resume", token: "secret", last: 2, media: MEDIA }]);
  note(0, { type: "resumed", received: 1 });
  expect(sent.slice(1)).toEqual([
    { id: 2, type: "rename", name: "B" },
    { id: 3, type: "rename", name: "C" },
  ]);
  event(3, ok(1));
  event(4, ok(2));
  event(5, ok(3));
  await Promise.all([first, second, third]);
});

test("after a restart of the server both numberings begin again and nothing that was asked is forgotten", async () => {
  live();
  const first = session.request({ type: "rename", name: "A" });
  event(2, ok(1));
  await first;
  const second = session.request({ type: "rename", name: "B" });
  session.handleLost(0);
  session.handleOpen();
  sent = [];
  event(1, JOINED);
  expect(happened).toContain("joined restored");
  expect(sent).toEqual([{ id: 1, type: "rename", name: "B" }]);
  event(2, ok(1));
  await second;
});

test("a request the server cannot read is given up, and those behind it move up", async () => {
  live();
  const bad = session.request({ type: "rename", name: "bad" });
  const good = session.request({ type: "rename", name: "good" });
  note(0, { type: "refused", reason: "malformed", detail: "expected …", fatal: false });
  note(0, { type: "refused", reason: "out_of_order", detail: "", fatal: false });
  expect(happened[0]).toBe("reopen at_once");
  session.handleLost(0);
  session.handleOpen();
  sent = [];
  note(0, { type: "resumed", received: 0 });
  expect(sent).toEqual([{ id: 1, type: "rename", name: "good" }]);
  await expect(bad).rejects.toMatchObject({ reason: "malformed" });
  event(2, ok(1));
  await good;
  void session.request({ type: "rename", name: "next" });
  expect(sent.at(-1)).toMatchObject({ id: 2 });
});

test("a place lost by too long an absence is entered anew, one lost sooner was taken away", async () => {
  live();
  const waiting = session.request({ type: "rename", name: "A" });
  session.handleLost(1_000);
  session.handleOpen();
  note(40_000, { type: "refused", reason: "resume_expired", detail: "", fatal: true });
  expect(happened).toEqual(["reopen at_once"]);
  await expect(waiting).rejects.toMatchObject({ reason: "resume_expired" });
  session = create(null);
  live();
  session.handleLost(1_000);
  session.handleOpen();
  note(2_000, { type: "refused", reason: "resume_expired", detail: "", fatal: true });
  expect(happened).toEqual(["closed resume_expired"]);
});

test("a place lost while the page slept is entered anew: what counts is when the server was last heard", () => {
  live();
  event(2, chat);
  session.handleLost(3_600_000);
  session.handleOpen();
  note(3_601_000, { type: "refused", reason: "resume_expired", detail: "", fatal: true });
  expect(happened).toEqual(["chat", "reopen at_once"]);
});

test("entering anew, one goes by the name of the moment and waits where there is no room for the moment", () => {
  live();
  join.name = "Anna";
  session.handleLost(0);
  session.handleOpen();
  note(40_000, { type: "refused", reason: "resume_expired", detail: "", fatal: true });
  session.handleOpen();
  expect(sent.at(-1)).toMatchObject({ type: "join", name: "Anna" });
  note(41_000, { type: "refused", reason: "server_full", detail: "", fatal: true });
  expect(happened).toEqual(["reopen at_once", "reopen backoff"]);
  session.handleOpen();
  note(42_000, { type: "refused", reason: "room_locked", detail: "", fatal: true });
  expect(happened.at(-1)).toBe("closed room_locked");
});

test("one whose place is taken over by another tab does not fight for it", () => {
  live();
  note(0, { type: "refused", reason: "already_joined", detail: "You have gone on elsewhere.", fatal: true });
  expect(happened).toEqual(["closed already_joined"]);
});

test("refusals that pass are waited out, others end the attempt", () => {
  session.handleOpen();
  note(0, { type: "refused", reason: "draining", detail: "", fatal: true });
  expect(happened).toEqual(["reopen backoff"]);
  session.handleOpen();
  note(0, { type: "refused", reason: "room_full", detail: "Full.", fatal: true });
  expect(happened.at(-1)).toBe("closed room_full");
});

test("what was read is acknowledged once, and at once when much has come", () => {
  live();
  session.acknowledge();
  session.acknowledge();
  expect(sent).toEqual([{ type: "ack", n: 1 }]);
  for (let n = 2; n <= 40; n += 1) event(n, chat);
  expect(sent).toEqual([
    { type: "ack", n: 1 },
    { type: "ack", n: 33 },
  ]);
});

test("an event of a kind we do not know is counted and passed over", () => {
  live();
  event(2, { type: "hologram", of: "p2" });
  event(3, chat);
  expect(happened).toEqual(["chat"]);
});

test("out ends the session and everyone who waits", async () => {
  live();
  const waiting = session.request({ type: "rename", name: "A" });
  event(2, { type: "out", reason: "removed" });
  await expect(waiting).rejects.toMatchObject({ reason: "not_joined" });
  await expect(session.request({ type: "end" })).rejects.toMatchObject({ reason: "not_joined" });
  expect(happened).toEqual(["out", "closed removed"]);
  expect(session.place).toBeNull();
});

test("too much, and too large a request, is refused before it is sent", async () => {
  live();
  const large = session.request({ type: "offer", to: "p2", epoch: 1, sdp: "x".repeat(LIMITS.frame_bytes) });
  await expect(large).rejects.toMatchObject({ reason: "too_large" });
  const all = Array.from({ length: 1_025 }, () => session.request({ type: "ice_servers" }));
  await expect(all[1_024]).rejects.toMatchObject({ reason: "too_many" });
  for (const each of all) each.catch(() => undefined);
});

test("draining is passed on", () => {
  live();
  note(0, { type: "draining", reconnect_ms: 700 });
  expect(happened).toEqual(["draining 700"]);
});
