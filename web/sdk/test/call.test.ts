import { afterEach, beforeEach, expect, test } from "vitest";
import { createCall } from "../src/call";
import type { Call, JoinOptions, Notice } from "../src/types";
import { FakePeerConnection } from "./fake-pc";
import { FakeServer } from "./fake-server";
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

function person(): Person {
  const page = bench(server, clock);
  const call = createCall(page.deps);
  const notices: Notice[] = [];
  call.on("notice", (notice) => notices.push(notice));
  return { ...page, call, notices };
}

async function joined(name: string, options: Partial<JoinOptions> = {}): Promise<Person> {
  const someone = person();
  await someone.call.join({ room: "room", name, ...options });
  await settle();
  return someone;
}

async function pair(): Promise<[Person, Person]> {
  const ann = await joined("Ann");
  const bob = await joined("Bob");
  await settle();
  return [ann, bob];
}

const peerOf = ({ call }: Person, at = 0) => {
  const peer = call.peers[at];
  if (!peer) throw new Error("nobody is there");
  return peer;
};

test("two people who join are connected to each other and read the same four words", async () => {
  const [ann, bob] = await pair();
  expect(ann.call.state).toEqual({ state: "joined" });
  expect(ann.call.isHost).toBe(true);
  expect(bob.call.isHost).toBe(false);
  expect([peerOf(ann), peerOf(bob)].map(({ connection }) => connection)).toEqual(["connected", "connected"]);
  expect(peerOf(ann).sas).toHaveLength(4);
  expect(peerOf(ann).sas).toEqual(peerOf(bob).sas);
  expect(ann.notices).toEqual([{ kind: "joined", name: "Bob", participant: "p2" }]);
});

test("two who press Join at once find each other with one connection each", async () => {
  const ann = person();
  const bob = person();
  await Promise.all([ann.call.join({ room: "room", name: "Ann" }), bob.call.join({ room: "room", name: "Bob" })]);
  await settle();
  expect(FakePeerConnection.all).toHaveLength(2);
  expect([peerOf(ann).connection, peerOf(bob).connection]).toEqual(["connected", "connected"]);
});

test("no peer connection exists while somebody rings, and one is made when the host accepts", async () => {
  const ann = await joined("Ann", { entry: "ring" });
  const bob = person();
  const entering = bob.call.join({ room: "room", name: "Bob" });
  let entered = false;
  void entering.then(() => (entered = true));
  await settle();
  expect(bob.call.state).toEqual({ state: "ringing" });
  expect(entered).toBe(false);
  expect(peerOf(ann).info.state).toBe("ringing");
  expect(ann.notices).toEqual([{ kind: "ringing", name: "Bob", participant: "p2" }]);
  expect(FakePeerConnection.all).toHaveLength(0);
  await ann.call.accept("p2");
  await entering;
  await settle();
  expect(bob.call.state).toEqual({ state: "joined" });
  expect(peerOf(ann).connection).toBe("connected");
});

test("somebody who is declined learns it from join", async () => {
  const ann = await joined("Ann", { entry: "ring" });
  const bob = person();
  const entering = bob.call.join({ room: "room", name: "Bob" });
  await settle();
  await Promise.all([ann.call.decline("p2"), expect(entering).rejects.toMatchObject({ reason: "forbidden" })]);
  expect(bob.call.state).toMatchObject({ state: "ended", reason: "declined" });
});

test("hiding the address allows relay candidates only, from the first connection on", async () => {
  await joined("Ann");
  await joined("Bob", { hideAddress: true });
  expect(FakePeerConnection.all.map(({ config }) => config.iceTransportPolicy).sort()).toEqual(["all", "relay"]);
});

test("in a relay-only room everybody's connection is relay-only", async () => {
  server.relayOnly = true;
  await pair();
  expect(FakePeerConnection.all.map(({ config }) => config.iceTransportPolicy)).toEqual(["relay", "relay"]);
});

test("above the mesh limit the first ones stay connected and the page is told", async () => {
  server.limits = { ...server.limits, mesh: 2 };
  const [ann, bob] = await pair();
  const eve = await joined("Eve");
  expect([ann, bob, eve].map(({ call }) => call.meshFull)).toEqual([true, true, true]);
  expect(ann.call.peers.map(({ connection }) => connection)).toEqual(["connected", "none"]);
  expect(eve.call.peers.map(({ connection }) => connection)).toEqual(["none", "none"]);
  await bob.call.leave();
  await settle();
  expect(peerOf(ann).info.name).toBe("Eve");
  expect(peerOf(ann).connection).toBe("connected");
  expect(ann.call.meshFull).toBe(false);
});

test("switching the camera off stops the track, empties the sender and tells the others", async () => {
  const [ann, bob] = await pair();
  await ann.call.setCamera(true);
  await settle();
  const camera = ann.call.local.camera;
  expect(peerOf(bob).info.media.video).toBe(true);
  expect(FakePeerConnection.all[0]?.transceivers[1]?.sender.track).toBe(camera);
  const offers = server.heard.filter(({ type }) => type === "offer").length;
  await ann.call.setCamera(false);
  await settle();
  expect(camera?.readyState).toBe("ended");
  expect(ann.call.local.camera).toBeNull();
  expect(FakePeerConnection.all[0]?.transceivers[1]?.sender.track).toBeNull();
  expect(peerOf(bob).info.media.video).toBe(false);
  expect(server.heard.filter(({ type }) => type === "offer")).toHaveLength(offers);
});

test("a shared screen appears at the other side and goes when the browser ends it", async () => {
  const [ann, bob] = await pair();
  ann.devices.surface = "monitor";
  await ann.call.shareScreen("detail");
  await settle();
  expect(ann.call.local.screenSurface).toBe("monitor");
  expect(ann.devices.asked[0]).toMatchObject({ selfBrowserSurface: "exclude", surfaceSwitching: "include" });
  expect(ann.devices.opened[0]?.contentHint).toBe("detail");
  expect(peerOf(bob).screen).not.toBeNull();
  ann.devices.opened[0]?.lose();
  await settle();
  expect(peerOf(bob).screen).toBeNull();
  expect(ann.notices.at(-1)).toEqual({ kind: "screen_ended" });
  expect(ann.devices.live).toEqual([]);
});

test("a lost transport is reopened, nothing said meanwhile is lost, and the connection goes on", async () => {
  const [ann, bob] = await pair();
  const connections = FakePeerConnection.all.length;
  server.reachable = false;
  server.dropAll();
  await settle();
  expect(ann.call.state).toMatchObject({ state: "reconnecting", attempt: 1 });
  const renamed = ann.call.rename("Anna");
  await clock.advance(5_000);
  expect(ann.call.state).toMatchObject({ state: "reconnecting" });
  server.reachable = true;
  await clock.advance(10_000);
  await renamed;
  expect([ann.call.state, bob.call.state]).toEqual([{ state: "joined" }, { state: "joined" }]);
  expect(peerOf(bob).info.name).toBe("Anna");
  expect(FakePeerConnection.all).toHaveLength(connections);
  expect(peerOf(ann).connection).toBe("connected");
});

test("when the network comes back the next attempt does not wait", async () => {
  const [ann] = await pair();
  server.reachable = false;
  server.dropAll();
  await clock.advance(60_000);
  server.reachable = true;
  ann.wake();
  await settle();
  expect(ann.call.state).toEqual({ state: "joined" });
});

test("a restart of the server leaves connections between browsers untouched", async () => {
  const [ann, bob] = await pair();
  const before = peerOf(ann).camera;
  server.restart();
  await clock.advance(3_000);
  expect([ann.call.state, bob.call.state]).toEqual([{ state: "joined" }, { state: "joined" }]);
  expect(ann.notices).toContainEqual({ kind: "restored" });
  expect(peerOf(ann).camera).toBe(before);
  expect(FakePeerConnection.all).toHaveLength(2);
  await ann.call.lock(true);
  expect(bob.call.room?.locked).toBe(true);
});

test("an offer that was on its way when the server was restarted is repeated", async () => {
  const ann = await joined("Ann");
  server.refuse.set("offer", "draining");
  const bob = await joined("Bob");
  expect(peerOf(ann).connection).toBe("connecting");
  server.refuse.clear();
  server.restart();
  await clock.advance(3_000);
  expect([peerOf(ann).connection, peerOf(bob).connection]).toEqual(["connected", "connected"]);
});

test("a reloaded page comes back to its place and both sides build a new connection", async () => {
  const [ann, bob] = await pair();
  const words = peerOf(ann).sas;
  bob.hidePage();
  server.seat("p2").socket?.drop();
  const again = createCall(bob.deps);
  await again.join({ room: "room", name: "Bob" });
  await settle();
  expect(again.me).toMatchObject({ id: "p2", epoch: 2 });
  expect(peerOf(ann)).toMatchObject({ info: { id: "p2", epoch: 2 }, connection: "connected" });
  expect(FakePeerConnection.all).toHaveLength(4);
  expect(FakePeerConnection.all[0]?.signalingState).toBe("closed");
  expect(peerOf(ann).sas).not.toBeNull();
  expect(peerOf(ann).sas).not.toEqual(words);
});

test("a duplicated tab does not take the place of the first", async () => {
  const ann = await joined("Ann");
  const copy = createCall(ann.deps);
  await copy.join({ room: "room", name: "Ann" });
  expect(copy.me?.id).toBe("p2");
  expect(ann.call.state).toEqual({ state: "joined" });
});

test("a ringer who is accepted late takes nobody's place in the mesh", async () => {
  server.limits = { ...server.limits, mesh: 2 };
  const ann = await joined("Ann", { entry: "ring" });
  const late = person();
  const entering = late.call.join({ room: "room", name: "Late" });
  await settle();
  const bob = person();
  const bobEnters = bob.call.join({ room: "room", name: "Bob" });
  await settle();
  await ann.call.accept("p3");
  await bobEnters;
  await settle();
  const before = peerOf(bob).camera;
  await ann.call.accept("p2");
  await entering;
  await settle();
  expect(peerOf(bob)).toMatchObject({ info: { name: "Ann" }, connection: "connected" });
  expect(peerOf(bob).camera).toBe(before);
  expect(late.call.peers.map(({ connection }) => connection)).toEqual(["none", "none"]);
  expect([ann, bob, late].map(({ call }) => call.meshFull)).toEqual([true, true, true]);
});

test("a second tab with the same token takes the call over, and the first says so and keeps still", async () => {
  const [ann, bob] = await pair();
  bob.hidePage();
  const tab = createCall(bob.deps);
  await tab.join({ room: "room", name: "Bob" });
  await clock.advance(60_000);
  expect(bob.call.state).toMatchObject({ state: "ended", reason: "already_joined" });
  expect(tab.state).toEqual({ state: "joined" });
  expect(tab.me).toMatchObject({ id: "p2", epoch: 2 });
  expect(ann.call.peers).toHaveLength(1);
  expect(server.heard.filter(({ type }) => type === "resume")).toHaveLength(1);
});

test("one who comes back after a long sleep is in again, by the name of before, with new connections", async () => {
  const [ann, bob] = await pair();
  await bob.call.rename("Robert");
  server.reachable = false;
  server.dropAll();
  server.remove("p2", "lost", false);
  server.reachable = true;
  clock.time += 3_600_000;
  await clock.advance(20_000);
  expect(bob.call.state).toEqual({ state: "joined" });
  expect(bob.call.me).toMatchObject({ id: "p3", name: "Robert" });
  expect(bob.notices).toContainEqual({ kind: "rejoined" });
  expect(peerOf(bob).connection).toBe("connected");
  expect(peerOf(ann)).toMatchObject({ info: { id: "p3", name: "Robert" }, connection: "connected" });
  expect(FakePeerConnection.all.filter(({ signalingState }) => signalingState !== "closed")).toHaveLength(2);
});

test("whoever was away too long enters anew; whoever was put out meanwhile does not", async () => {
  const [ann, bob] = await pair();
  server.reachable = false;
  server.dropAll();
  await settle();
  server.remove("p2", "removed", false);
  server.reachable = true;
  await clock.advance(10_000);
  expect(bob.call.state).toMatchObject({ state: "ended", reason: "resume_expired" });
  expect(ann.call.state).toEqual({ state: "joined" });
  server.reachable = false;
  server.dropAll();
  await clock.advance(60_000);
  server.remove("p1", "lost", false);
  server.reachable = true;
  await clock.advance(20_000);
  expect(ann.call.state).toEqual({ state: "joined" });
  expect(ann.call.me?.id).toBe("p3");
});

test("a room that is locked refuses by name", async () => {
  const ann = await joined("Ann");
  await ann.call.lock(true);
  const bob = person();
  await expect(bob.call.join({ room: "room", name: "Bob" })).rejects.toMatchObject({ reason: "room_locked" });
  expect(bob.call.state).toMatchObject({ state: "ended", reason: "room_locked" });
});

test("a host who removes somebody, and ends the call, is obeyed; a guest is refused", async () => {
  const [ann, bob] = await pair();
  await expect(bob.call.remove("p1")).rejects.toMatchObject({ reason: "not_host" });
  await ann.call.remove("p2");
  await settle();
  expect(bob.call.state).toMatchObject({ state: "ended", reason: "removed" });
  expect(ann.call.peers).toEqual([]);
  const eve = await joined("Eve");
  await ann.call.end();
  await settle();
  expect([ann.call.state, eve.call.state]).toMatchObject([{ reason: "ended" }, { reason: "ended" }]);
});

test("when the host leaves, the next one is told", async () => {
  const [ann, bob] = await pair();
  await ann.call.leave();
  await settle();
  expect(bob.notices).toContainEqual({ kind: "left", name: "Ann", participant: "p1", reason: "left" });
  expect(bob.notices).toContainEqual({ kind: "host", name: "Bob", you: true });
  expect(bob.call.isHost).toBe(true);
});

test("a server that cannot be reached ends the attempt with a word", async () => {
  server.reachable = false;
  const ann = person();
  const entering = expect(ann.call.join({ room: "room", name: "Ann" })).rejects.toMatchObject({
    reason: "unreachable",
  });
  await clock.advance(60_000);
  await entering;
  expect(ann.call.state).toMatchObject({ state: "ended", reason: "unreachable" });
});

test("leave stops every track, timer, listener and connection", async () => {
  const ann = person();
  const microphone = track("audio");
  const camera = track("video");
  await ann.call.join({ room: "room", name: "Ann", microphone, camera });
  await joined("Bob").then(({ call }) => call.leave());
  await ann.call.shareScreen("motion");
  await ann.call.leave();
  await settle();
  expect([microphone.readyState, camera.readyState]).toEqual(["ended", "ended"]);
  expect(ann.devices.live).toEqual([]);
  expect(clock.armed).toBe(0);
  expect(ann.listeners()).toBe(0);
  expect(server.sockets.size).toBe(0);
  expect(FakePeerConnection.all.every(({ signalingState }) => signalingState === "closed")).toBe(true);
  expect(ann.call.state).toEqual({ state: "ended", reason: "left", detail: "" });
});

test("join and leave may come in any order, at any moment", async () => {
  const ann = person();
  await ann.call.leave();
  expect(ann.call.state).toEqual({ state: "idle" });
  const first = expect(ann.call.join({ room: "room", name: "Ann" })).rejects.toMatchObject({ reason: "aborted" });
  const second = expect(ann.call.join({ room: "room", name: "Ann" })).rejects.toMatchObject({ reason: "misuse" });
  await ann.call.leave();
  await Promise.all([first, second]);
  await ann.call.join({ room: "room", name: "Ann" });
  expect(ann.call.state).toEqual({ state: "joined" });
  await Promise.all([ann.call.leave(), ann.call.leave()]);
  await settle();
  expect(clock.armed).toBe(0);
  await expect(ann.call.setCamera(true)).rejects.toMatchObject({ reason: "not_joined" });
  await expect(ann.call.say("anybody?")).rejects.toMatchObject({ reason: "not_joined" });
});

test("a camera that is granted after the call has ended is switched off at once", async () => {
  const ann = await joined("Ann");
  let grant = (): void => undefined;
  ann.devices.hold = new Promise((resolve) => (grant = resolve));
  const switched = expect(ann.call.setCamera(true)).rejects.toMatchObject({ reason: "aborted" });
  await ann.call.leave();
  grant();
  await switched;
  expect(ann.devices.opened).toHaveLength(1);
  expect(ann.devices.live).toEqual([]);
});

test("an abort signal ends a join that waits, before and after it began", async () => {
  await joined("Ann", { entry: "ring" });
  const bob = person();
  const abort = new AbortController();
  const entering = expect(bob.call.join({ room: "room", name: "Bob", signal: abort.signal })).rejects.toMatchObject({
    reason: "aborted",
  });
  await settle();
  abort.abort();
  await entering;
  expect(bob.call.state).toMatchObject({ state: "ended", reason: "aborted" });
  await expect(bob.call.join({ room: "room", name: "Bob", signal: abort.signal })).rejects.toMatchObject({
    reason: "aborted",
  });
});

test("chat between connected browsers does not pass the server; with one more it does", async () => {
  server.limits = { ...server.limits, mesh: 2 };
  const [ann, bob] = await pair();
  await ann.call.say("hello");
  expect(bob.call.chat).toMatchObject([{ from: "p1", name: "Ann", text: "hello", mine: false }]);
  expect(server.heard.some(({ type }) => type === "chat" || type === "message")).toBe(false);
  const eve = await joined("Eve");
  await ann.call.say("to all");
  await settle();
  expect([bob, eve].map(({ call }) => call.chat.map(({ text }) => text))).toEqual([["hello", "to all"], ["to all"]]);
  expect(ann.call.chat.map(({ text, mine }) => [text, mine])).toEqual([
    ["hello", true],
    ["to all", true],
  ]);
});

test("a classic participant gets no connection, and chat as a message", async () => {
  const ann = await joined("Ann");
  const old = await joined("Old page");
  const seat = server.seat("p2");
  seat.participant = { ...seat.participant, client: "classic" };
  server.tell("p1", { type: "participant_changed", participant: seat.participant });
  await settle();
  expect(peerOf(ann).connection).toBe("none");
  await ann.call.say("hello");
  expect(server.heard.at(-1)).toMatchObject({ type: "message", to: "p2", data: { sender: "Ann", text: "hello" } });
  server.tell("p1", { type: "message", from: "p2", data: { sender: "old", text: "hi" } });
  await settle();
  expect(ann.call.chat.at(-1)).toMatchObject({ name: "Old page", text: "hi" });
  await old.call.leave();
});

test("a connection in trouble restarts ICE and recovers", async () => {
  const [ann, bob] = await pair();
  FakePeerConnection.setNetwork(false);
  await settle();
  expect(peerOf(ann).connection).toBe("trouble");
  await clock.advance(4_500);
  expect(FakePeerConnection.all.some(({ restarts }) => restarts > 0)).toBe(true);
  FakePeerConnection.setNetwork(true);
  await clock.advance(40_000);
  expect([peerOf(ann).connection, peerOf(bob).connection]).toEqual(["connected", "connected"]);
});

test("a way that is silent is given up and taken anew", async () => {
  const ann = await joined("Ann");
  const socket = server.seat("p1").socket;
  if (!socket) throw new Error("no socket");
  socket.deliver = () => undefined;
  await clock.advance(30_000);
  expect(server.seat("p1").socket).not.toBe(socket);
  expect(ann.call.state).toEqual({ state: "joined" });
});

test("the selected path is told to the server once", async () => {
  const [ann] = await pair();
  const stats = new Map<string, unknown>([
    ["T", { id: "T", type: "transport", selectedCandidatePairId: "P" }],
    ["P", { id: "P", type: "candidate-pair", localCandidateId: "L", remoteCandidateId: "R" }],
    ["L", { id: "L", type: "local-candidate", candidateType: "relay", relayProtocol: "udp" }],
    ["R", { id: "R", type: "remote-candidate", candidateType: "host" }],
  ]);
  for (const pc of FakePeerConnection.all) pc.stats = stats;
  await clock.advance(6_500);
  expect(peerOf(ann).path).toBe("relay");
  expect(server.heard.filter(({ type }) => type === "path")).toHaveLength(2);
});

test("change is said once for everything that happened before the next frame", async () => {
  const ann = await joined("Ann");
  let changes = 0;
  ann.call.on("change", () => (changes += 1));
  await ann.call.setMicrophone(true);
  void ann.call.rename("Anna");
  const before = changes;
  await settle();
  expect(changes).toBeGreaterThan(before);
  expect(changes).toBeLessThan(4);
});

test("hostile frames end in a new transport, never in an exception", async () => {
  const ann = await joined("Ann");
  for (const frame of [
    "{",
    "[]",
    '{"n":2}',
    '{"n":99,"type":"chat"}',
    '{"type":"nonsense"}',
    '{"n":-1,"type":"out"}',
  ]) {
    const socket = server.seat("p1").socket;
    socket?.onmessage?.({ data: frame });
    await clock.advance(15_000);
    expect(ann.call.state).toEqual({ state: "joined" });
  }
  server.tell("p1", { type: "offer", from: "p9", sdp: "nobody" });
  server.tell("p1", { type: "chat", from: "p9", text: "nobody", at: 1, private: false });
  await settle();
  expect(ann.call.state).toEqual({ state: "joined" });
});

test("an application's messages go over the connection that is there, to all or to one", async () => {
  const [ann, bob] = await pair();
  const heard: unknown[] = [];
  bob.call.on("data", (message) => heard.push(message));
  await ann.call.send("text");
  await ann.call.send(Uint8Array.of(1, 2, 3), { to: "p2", reliable: false });
  await expect(ann.call.send("x", { to: "p1" })).rejects.toMatchObject({ reason: "no_such_participant" });
  await settle();
  expect(heard).toEqual([
    { from: "p1", data: "text", reliable: true },
    { from: "p1", data: Uint8Array.of(1, 2, 3), reliable: true },
  ]);
  await ann.call.leave();
  await expect(ann.call.send("x")).rejects.toMatchObject({ reason: "not_joined" });
});

test("with a key, a browser that cannot encrypt is in no call, and a damaged key is none", async () => {
  const cannot = createCall({ ...bench(server, clock).deps, createCipherWorker: () => null });
  const join = (key: string) => cannot.join({ room: "room", name: "Ann", key });
  await expect(join("q83vEjRWeJCrze8SNFZ4kA")).rejects.toMatchObject({ reason: "unsupported" });
  await expect(join("q83vEjRW")).rejects.toMatchObject({ reason: "misuse" });
  expect(cannot.state).toEqual({ state: "idle" });
  expect(server.seats).toEqual([]);
});
