import { beforeEach, expect, test } from "vitest";
import { Connection, type ConnectionOutput } from "../src/peer/connection";
import { browserlessDeps } from "./browserless";
import { FakePeerConnection } from "./fake-pc";
import { Clock, settle, track } from "./fakes";

const NOTHING = { microphone: null, camera: null, screen: null, screenSound: null };
let clock: Clock;
/** Signals that are held back. */
let held: (() => void)[] | null;

beforeEach(() => {
  FakePeerConnection.reset();
  clock = new Clock();
  held = null;
});

function pair(): [Connection, Connection] {
  const deliver = (signal: () => void): void => void (held ? held.push(signal) : queueMicrotask(signal));
  const output = (other: () => Connection): ConnectionOutput => ({
    offer: (sdp) => deliver(() => other().handleOffer(sdp)),
    answer: (sdp) => deliver(() => other().handleAnswer(sdp)),
    candidate: (candidate) => deliver(() => other().handleCandidate(candidate)),
    changed: () => undefined,
    channels: () => undefined,
    beforeRestart: () => Promise.resolve(),
  });
  const deps = { ...browserlessDeps(), timers: clock };
  const options = {
    iceServers: [],
    relayOnly: false,
    tracks: NOTHING,
    ceilings: { camera: 1_000, screen: 2_000 },
    cameraCodec: null,
    encryption: null,
    seesCamera: true,
  };
  const ann: Connection = new Connection(
    deps,
    { ...options, initiator: true },
    output(() => bob),
  );
  const bob: Connection = new Connection(
    deps,
    { ...options, initiator: false },
    output(() => ann),
  );
  return [ann, bob];
}

const fake = (at: number): FakePeerConnection => {
  const pc = FakePeerConnection.all[at];
  if (!pc) throw new Error("no such connection");
  return pc;
};

test("one offer lays out four m-lines that both sides send and receive on", async () => {
  const [ann, bob] = pair();
  await settle();
  expect([ann.state, bob.state]).toEqual(["connected", "connected"]);
  for (const pc of FakePeerConnection.all) {
    expect(pc.transceivers.map(({ kind }) => kind)).toEqual(["audio", "video", "video", "audio"]);
    expect(pc.transceivers.every(({ direction }) => direction === "sendrecv")).toBe(true);
    expect([...pc.channels.keys()]).toEqual([0, 1, 2]);
  }
  expect([ann.camera, bob.camera, ann.screen].every((stream) => stream !== null)).toBe(true);
});

test("tracks are replaced without a negotiation and have their ceilings", async () => {
  const [ann] = pair();
  await settle();
  const camera = track("video");
  const screen = track("video");
  const described = fake(0).localDescription;
  ann.setTracks({ ...NOTHING, camera, screen });
  await settle();
  expect(fake(0).transceivers.map(({ sender }) => sender.track)).toEqual([null, camera, screen, null]);
  expect(fake(0).transceivers.map(({ sender }) => sender.parameters.encodings[0]?.maxBitrate)).toEqual([
    undefined,
    1_000,
    2_000,
    undefined,
  ]);
  expect(fake(0).localDescription).toBe(described);
});

test("offers that cross are settled: the polite side gives way and both end up stable", async () => {
  const [ann, bob] = pair();
  await settle();
  held = [];
  ann.pc.restartIce();
  bob.pc.restartIce();
  await settle();
  expect(FakePeerConnection.all.map(({ signalingState }) => signalingState)).toEqual([
    "have-local-offer",
    "have-local-offer",
  ]);
  const crossing = held;
  held = null;
  for (const signal of crossing) signal();
  await settle();
  expect(FakePeerConnection.all.map(({ signalingState }) => signalingState)).toEqual(["stable", "stable"]);
  expect([ann.state, bob.state]).toEqual(["connected", "connected"]);
});

test("a connection that never comes about is tried again, called failed, and still tried", async () => {
  FakePeerConnection.network = false;
  const [ann] = pair();
  await settle();
  await clock.advance(16_000);
  expect(ann.state).toBe("connecting");
  expect(fake(0).restarts).toBe(1);
  await clock.advance(60_000);
  expect(ann.state).toBe("failed");
  FakePeerConnection.network = true;
  await clock.advance(40_000);
  expect(ann.state).toBe("connected");
});

test("a description that cannot be read fails the connection and nothing else", async () => {
  const [ann, bob] = pair();
  held = [];
  await settle();
  bob.handleOffer("nonsense");
  ann.handleAnswer("nonsense");
  await settle();
  expect([ann.state, bob.state]).toEqual(["failed", "failed"]);
});

test("an answer nobody waits for and a candidate too much are passed over", async () => {
  const [ann] = pair();
  await settle();
  ann.handleAnswer("late");
  ann.handleCandidate({ candidate: "" });
  ann.handleCandidate({ candidate: "candidate:1" });
  await settle();
  expect(ann.state).toBe("connected");
});

test("after close no timer, handler or signal is left", async () => {
  const [ann, bob] = pair();
  await settle();
  ann.close();
  bob.close();
  ann.handleOffer("late");
  await settle();
  expect(clock.armed).toBe(0);
  for (const pc of FakePeerConnection.all) {
    expect(pc.signalingState).toBe("closed");
    expect([pc.onnegotiationneeded, pc.onicecandidate, pc.onconnectionstatechange]).toEqual([null, null, null]);
  }
});

test("the camera goes in the codec that is wished, if it was agreed on, and in the first one otherwise", async () => {
  const [ann] = pair();
  await settle();
  const sender = fake(0).transceivers[1]?.sender;
  const parameters = sender?.parameters as { codecs?: object[]; encodings: { codec?: object }[] };
  ann.setCameraCodec("av1");
  await settle();
  expect(sender?.getParameters().encodings).toEqual([{ maxBitrate: 1_000 }]);
  parameters.codecs = [{ mimeType: "video/VP8" }, { mimeType: "video/AV1" }];
  Object.assign(sender ?? {}, { parameters });
  ann.setCameraCodec("av1");
  await settle();
  expect(sender?.getParameters().encodings).toEqual([{ maxBitrate: 1_000, codec: { mimeType: "video/AV1" } }]);
  expect(fake(0).transceivers[2]?.sender.getParameters().encodings).toEqual([{ maxBitrate: 2_000 }]);
  ann.setCameraCodec(null);
  await settle();
  expect(sender?.getParameters().encodings).toEqual([{ maxBitrate: 1_000 }]);
});
