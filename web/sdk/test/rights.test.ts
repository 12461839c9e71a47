import { afterEach, beforeEach, expect, test } from "vitest";
import { createCall } from "../src/call";
import type { Participant, Permissions } from "../src/generated";
import { decides, mayOf } from "../src/rights";
import type { Call, JoinOptions, Notice } from "../src/types";
import { parseServerFrame } from "../src/wire";
import { FakePeerConnection } from "./fake-pc";
import { FakeServer, WATCH_ONLY } from "./fake-server";
import { bench, Clock, settle, track, type Bench } from "./fakes";

let server: FakeServer;
let clock: Clock;
const unhandled: unknown[] = [];
const onUnhandled = (error: unknown): void => void unhandled.push(error);

beforeEach(() => {
  server = new FakeServer();
  clock = new Clock();
  FakePeerConnection.reset();
  process.on("unhandledRejection", onUnhandled);
});

afterEach(async () => {
  await settle();
  process.off("unhandledRejection", onUnhandled);
  expect(unhandled.splice(0)).toEqual([]);
});

interface Person extends Bench {
  call: Call;
  notices: Notice[];
}

async function joined(name: string, options: Partial<JoinOptions> = {}): Promise<Person> {
  const page = bench(server, clock);
  const call = createCall(page.deps);
  const notices: Notice[] = [];
  call.on("notice", (notice) => notices.push(notice));
  await call.join({ room: "room", name, ...options });
  await settle();
  return { ...page, call, notices };
}

const usual = mayOf(null);
const sound: Permissions = { ...WATCH_ONLY, publish: { audio: true, video: false, screen: false } };

/** A room beside the first one. */
function beside(name: string): FakeServer {
  const room = new FakeServer();
  Object.assign(room, { name, parent: "room", family: server.family });
  server.family.set("room", server).set(name, room);
  return room;
}

test("the host decides, and whoever was made to; a token's bearer only if the token says so", () => {
  const someone = (fields: Partial<Participant>): Participant => ({ id: "p1", ...fields }) as Participant;
  expect(decides(someone({}), { host: "p1" })).toBe(true);
  expect(decides(someone({}), { host: "p2" })).toBe(false);
  expect(decides(someone({ may: { ...usual, admin: true } }), { host: "p2" })).toBe(true);
  expect(decides(someone({ identity: "ann@school" }), { host: "p1" })).toBe(false);
  expect(decides(someone({ identity: "ann@school", may: { ...usual, admin: true } }), { host: "p1" })).toBe(true);
  expect(decides(someone({}), { host: "p1", parent: "main" })).toBe(false);
  expect(decides(null, { host: "p1" })).toBe(false);
});

test("a newcomer who only watches enters with its devices on, and they are released", async () => {
  const ann = await joined("Ann");
  await ann.call.newcomers(true);
  const [microphone, camera] = [track("audio"), track("video")];
  const bob = await joined("Bob", { microphone, camera, watchWhileMuted: true });
  expect(bob.call.room?.watch_only).toBe(true);
  expect([microphone.readyState, camera.readyState]).toEqual(["ended", "ended"]);
  expect(bob.call.local).toMatchObject({ microphone: null, camera: null });
  expect(ann.call.peers[0]?.info.media).toEqual({ audio: false, video: false, screen: false });
  for (const act of [() => bob.call.setMicrophone(true), () => bob.call.setCamera(true)])
    await expect(act()).rejects.toMatchObject({ reason: "not_permitted" });
  await expect(bob.call.shareScreen("detail")).rejects.toMatchObject({ reason: "not_permitted" });
  expect(bob.devices.asked).toEqual([]);
});

test("the floor is given and taken: devices may be turned on, and are off again, and both are told", async () => {
  const ann = await joined("Ann");
  await ann.call.newcomers(true);
  const bob = await joined("Bob");
  await ann.call.permit("p2", sound);
  await settle();
  expect(bob.notices).toContainEqual({ kind: "floor_given", media: { audio: true, video: false, screen: false } });
  await bob.call.setMicrophone(true);
  await expect(bob.call.setCamera(true)).rejects.toMatchObject({ reason: "not_permitted" });
  await settle();
  expect(ann.call.peers[0]?.info.media.audio).toBe(true);
  await ann.call.permit("p2", WATCH_ONLY);
  await settle();
  expect(bob.notices).toContainEqual({ kind: "floor_taken", media: { audio: true, video: false, screen: false } });
  expect(bob.devices.live).toEqual([]);
  expect(ann.call.peers[0]?.info.media.audio).toBe(false);
});

test("a camera that is granted after the floor was taken is switched off at once", async () => {
  const ann = await joined("Ann");
  const bob = await joined("Bob");
  let grant = (): void => undefined;
  bob.devices.hold = new Promise((resolve) => (grant = resolve));
  const switched = expect(bob.call.setCamera(true)).rejects.toMatchObject({ reason: "aborted" });
  await settle();
  await ann.call.permit("p2", WATCH_ONLY);
  await settle();
  grant();
  await switched;
  expect(bob.devices.opened).toHaveLength(1);
  expect(bob.devices.live).toEqual([]);
});

test("whoever is made a host beside the host may do what the host may", async () => {
  const ann = await joined("Ann");
  const bob = await joined("Bob");
  expect([ann.call.canHost, bob.call.canHost]).toEqual([true, false]);
  await ann.call.permit("p2", { ...usual, admin: true });
  await settle();
  expect([bob.call.canHost, bob.call.isHost]).toEqual([true, false]);
});

test("a token is told when entering; without one, or with a bad one, the door stays shut by name", async () => {
  server.tokens = new Map([["good", { identity: "ann@school", may: sound }]]);
  const join = (token?: string) => joined("Ann", token === undefined ? {} : { token });
  await expect(join()).rejects.toMatchObject({ reason: "token_needed" });
  await expect(join("old")).rejects.toMatchObject({ reason: "bad_token", message: "The token has expired." });
  const ann = await join("good");
  expect(ann.call).toMatchObject({ isHost: true, canHost: false, may: sound });
  expect(ann.call.room?.tokens).toBe(true);
});

test("entering anew after a long outage takes the token again, and says so if it is not good any more", async () => {
  server.tokens = new Map([["good", { identity: "ann@school" }]]);
  const ann = await joined("Ann", { token: "good" });
  server.reachable = false;
  server.dropAll();
  server.remove("p1", "lost", false);
  server.tokens.clear();
  server.reachable = true;
  clock.time += 3_600_000;
  await clock.advance(20_000);
  expect(ann.call.state).toMatchObject({ state: "ended", reason: "bad_token", detail: "The token has expired." });
});

test("who is moved goes on in the other room by itself, with the same devices and the pass", async () => {
  const child = beside("room-1");
  child.tokens = new Map([
    ["pass-p2", {}],
    ["pass-p3", {}],
  ]);
  const camera = track("video");
  const ann = await joined("Ann");
  const bob = await joined("Bob", { camera });
  const eve = await joined("Eve");
  await bob.call.rename("Robert");
  await ann.call.moveTo("room-1", "p2");
  await ann.call.moveTo("room-1", "p3");
  await settle();
  expect(bob.call.state).toEqual({ state: "joined" });
  expect(bob.call.room).toMatchObject({ name: "room-1", parent: "room" });
  expect(bob.call.me).toMatchObject({ id: "p1", name: "Robert", media: { video: true } });
  expect(bob.call.local.camera).toBe(camera);
  expect(camera.readyState).toBe("live");
  expect(bob.devices.asked).toEqual([]);
  expect(bob.notices).toContainEqual({ kind: "moved", room: "room-1" });
  expect(bob.call.peers.map(({ info, connection }) => [info.name, connection])).toEqual([["Eve", "connected"]]);
  expect(eve.call.peers.map(({ info }) => info.name)).toEqual(["Robert"]);
  expect(ann.call.peers).toEqual([]);
  expect(ann.notices).toContainEqual({ kind: "left", name: "Eve", participant: "p3", reason: "moved" });
  expect(FakePeerConnection.all.filter(({ signalingState }) => signalingState !== "closed")).toHaveLength(2);
  await bob.call.say("here");
  await settle();
  expect(eve.call.chat.map(({ text }) => text)).toEqual(["here"]);
});

test("on the way nothing is asked for, and a place lost in a breakout room leads back to the first one", async () => {
  const child = beside("room-1");
  await joined("Ann");
  const bob = await joined("Bob");
  const moving: boolean[] = [];
  bob.call.on("change", () => moving.push(bob.call.moving));
  const asked: Promise<unknown>[] = [];
  server.tell("p2", { type: "moved", room: "room-1", pass: "once" });
  server.tell("p2", { type: "out", reason: "moved" });
  while (!bob.call.moving) await Promise.resolve();
  asked.push(bob.call.rename("Nobody").catch((error: unknown) => error));
  await settle();
  expect((await Promise.all(asked))[0]).toMatchObject({ reason: "aborted" });
  expect(bob.call.moving).toBe(false);
  expect(bob.call.room?.name).toBe("room-1");
  expect(child.heard).toContainEqual(expect.objectContaining({ type: "join", room: "room-1", token: "once" }));
  child.dropAll();
  child.remove("p1", "lost", false);
  clock.time += 3_600_000;
  await clock.advance(20_000);
  expect(bob.call.state).toEqual({ state: "joined" });
  expect(bob.call.room?.name).toBe("room");
  expect(bob.notices.filter(({ kind }) => kind === "moved")).toHaveLength(2);
});

test("who came in again elsewhere is told so", async () => {
  const ann = await joined("Ann");
  server.tell("p1", { type: "out", reason: "replaced" });
  await settle();
  expect(ann.call.state).toMatchObject({ state: "ended", reason: "replaced" });
});

test("captions are shown as they grow, ours too, and a stranger's are nobody's", async () => {
  const ann = await joined("Ann");
  const bob = await joined("Bob");
  await ann.call.caption(1, "Good", false, "en");
  await ann.call.caption(1, "Good morning", true, "en");
  await ann.call.caption(2, "x".repeat(5_000), false, "en");
  server.note("p2", { type: "caption", from: "p9", line: 1, text: "nobody", done: true, language: "en" });
  await settle();
  expect(bob.call.captions.map(({ name, text, done, mine }) => [name, text.length, done, mine])).toEqual([
    ["Ann", 12, true, false],
    ["Ann", 2_000, false, false],
  ]);
  expect(ann.call.captions[0]).toMatchObject({ text: "Good morning", mine: true });
});

test.each([
  { may: { ...usual, publish: true } },
  { may: null },
  { may: { publish: usual.publish, subscribe: true, data: true } },
  { identity: 7 },
])("a participant with %j is refused", async (wrong) => {
  await joined("Ann");
  const { participant } = server.seat("p1");
  const frame = { n: 2, type: "participant_changed", participant: { ...participant, ...wrong } };
  expect(parseServerFrame(frame).kind).toBe("bad");
  expect(parseServerFrame({ ...frame, participant: { ...participant, may: usual } }).kind).toBe("event");
});

test.each([{ breakouts: [{ name: "room-1" }] }, { parent: 1 }, { watch_only: "no" }, { tokens: undefined }])(
  "a room with %j is refused",
  (wrong) => {
    const frame = { n: 2, type: "room_changed", room: { ...server.room, ...wrong } };
    expect(parseServerFrame(frame).kind).toBe("bad");
  },
);
