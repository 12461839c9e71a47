// The connection to the media plane, over a peer connection that agrees to everything.
import { afterEach, expect, test, vi } from "vitest";
import type { MediaEncryption } from "../src/encryption/media";
import type { Participant } from "../src/generated";
import type { Lanes } from "../src/plane/lanes";
import { Plane } from "../src/plane/plane";
import type { Roster } from "../src/roster";
import type { Request } from "../src/session";
import { browserlessDeps } from "./browserless";
import { Clock } from "./fakes";

afterEach(() => vi.unstubAllGlobals());

class Agreeable {
  connectionState = "connected";
  iceConnectionState = "connected";
  localDescription = { type: "offer", sdp: "v=0" };
  remoteDescription: object | null = null;
  onconnectionstatechange: (() => void) | null = null;
  #mid = 0;

  addTransceiver(kind: string, { direction }: { direction: string }): object {
    const track = { kind };
    this.#mid += 1;
    const parameters = { codecs: [{ mimeType: "video/VP9" }], encodings: [{}] };
    const sender = {
      track: null,
      replaceTrack: () => Promise.resolve(),
      getParameters: () => parameters,
      setParameters: () => Promise.resolve(),
    };
    const rest = { setCodecPreferences: () => undefined, stop: () => undefined };
    return { mid: `${this.#mid}`, currentDirection: direction, direction, sender, receiver: { track }, ...rest };
  }
  setLocalDescription(): Promise<void> {
    return Promise.resolve();
  }
  setRemoteDescription(description: object): Promise<void> {
    this.remoteDescription = description;
    return Promise.resolve();
  }
  getStats(): Promise<Map<string, unknown>> {
    return Promise.resolve(new Map());
  }
  close(): void {
    this.connectionState = "closed";
  }
}

function ben(): Participant {
  return {
    id: "p2",
    name: "Ben",
    media: { audio: false, video: true, screen: false },
    state: "here",
    hide_address: false,
    encrypted: false,
    client: "web",
    epoch: 1,
    joined_at: 1,
    tracks: [{ id: "t1", source: "camera", stopped: false }],
  };
}

function roster(): Roster {
  const limits = { frame_bytes: 1, sdp_bytes: 1, chat_chars: 1, name_chars: 1, participants: 9, mesh: 2, sfu: true };
  const participants = [{ ...ben(), id: "p1", tracks: [] }, ben()];
  return { you: "p1", room: { topology: "sfu" } as Roster["room"], participants, limits };
}

interface World {
  plane: Plane;
  clock: Clock;
  /** The connection to the server is there. */
  connects: () => void;
  wanted: () => Promise<number[]>;
  offers: () => Promise<number>;
  /** The m-line of the camera, as it was offered last. */
  camera: () => Promise<string | undefined>;
}

function world(): World {
  const asked: Request[] = [];
  const clock = new Clock();
  const connection = new Agreeable();
  const lanes = { open: () => undefined, close: () => undefined } as unknown as Lanes;
  const deps = {
    ...browserlessDeps(),
    timers: clock,
    createPeerConnection: () => connection as unknown as RTCPeerConnection,
    createStream: () => ({}) as MediaStream,
  };
  const plane: Plane = new Plane(deps, lanes, {
    request: (frame) => {
      asked.push(frame);
      if (frame.type === "media_offer") plane.handleAnswer("v=0");
      return Promise.resolve();
    },
    changed: () => undefined,
    beforeRestart: () => Promise.resolve(),
  });
  const wanted = async (): Promise<number[]> => {
    await new Promise((next) => setTimeout(next));
    const slots = asked.splice(0).flatMap((frame) => (frame.type === "watch" ? frame.slots : []));
    return slots.flatMap(({ track, height }) => (track === "t1" ? [height ?? 0] : []));
  };
  const offers = async (): Promise<number> => {
    await new Promise((next) => setTimeout(next));
    return asked.splice(0).filter(({ type }) => type === "media_offer").length;
  };
  const camera = async (): Promise<string | undefined> => {
    await new Promise((next) => setTimeout(next));
    const sends = asked.splice(0).flatMap((frame) => (frame.type === "media_offer" ? [frame.sends] : []));
    return sends.at(-1)?.find(({ source }) => source === "camera")?.mid;
  };
  const connects = (): void => connection.onconnectionstatechange?.();
  return { plane, clock, connects, wanted, offers, camera };
}

test("how large a tile is stays known when the server begins anew: the page does not say it again", async () => {
  const { plane, wanted } = world();
  plane.setRoster(roster());
  plane.setHeight("p2:camera", 90);
  expect((await wanted()).at(-1)).toBe(90);
  plane.abandon();
  plane.setRoster(roster());
  expect((await wanted()).at(-1)).toBe(90);
});

test("when the call is over, or somebody has left, it is forgotten", async () => {
  const { plane, wanted } = world();
  plane.setRoster(roster());
  plane.setHeight("p2:camera", 90);
  plane.forget();
  plane.setRoster(roster());
  expect((await wanted()).at(-1)).toBe(720);
  plane.setHeight("p2:camera", 90);
  plane.setRoster({ ...roster(), participants: roster().participants.slice(0, 1) });
  plane.setRoster(roster());
  expect((await wanted()).at(-1)).toBe(720);
});

test("who is given the right to send offers anew: what was offered before has become no track", async () => {
  const { plane, offers } = world();
  const may = (publish: boolean): Roster => {
    const [me, other] = roster().participants as [Participant, Participant];
    const flags = { audio: publish, video: publish, screen: publish };
    return {
      ...roster(),
      participants: [{ ...me, may: { publish: flags, subscribe: true, data: true, admin: false } }, other],
    };
  };
  plane.setRoster(may(false));
  expect(await offers()).toBe(1);
  plane.setRoster(may(false));
  expect(await offers()).toBe(0);
  plane.setRoster(may(true));
  expect(await offers()).toBe(1);
  plane.setRoster(may(false));
  expect(await offers()).toBe(0);
});

test("another codec of the camera is offered at once, by another m-line of the same connection", async () => {
  const codecs = [{ mimeType: "video/VP9", clockRate: 90_000 }];
  vi.stubGlobal("RTCRtpSender", { getCapabilities: () => ({ codecs }) });
  const { plane, camera } = world();
  plane.setRoster(roster());
  const before = await camera();
  plane.setCameraCodec("vp9");
  const after = await camera();
  expect([typeof before, typeof after]).toEqual(["string", "string"]);
  expect(after).not.toBe(before);
  plane.setCameraCodec("vp9");
  expect(await camera()).toBeUndefined();
});

test("in an encrypted call the camera stays as it is", async () => {
  const { plane, camera } = world();
  const watched = { readable: null, begin: () => undefined, stop: () => undefined };
  const encryption = {
    config: (config: object) => config,
    protectSender: () => undefined,
    protectReceiver: () => watched,
  };
  plane.setEncryption(encryption as unknown as MediaEncryption);
  plane.setRoster(roster());
  await camera();
  plane.setCameraCodec("vp9");
  expect(await camera()).toBeUndefined();
});

test("a camera of which nothing has come for a while is told to be missing, unless it is out of sight", async () => {
  const { plane, clock, connects, wanted } = world();
  plane.setRoster(roster());
  await wanted();
  connects();
  expect(plane.of("p2")?.missing).toBe(false);
  await clock.advance(10_000);
  expect(plane.of("p2")?.missing).toBe(true);
  plane.setHeight("p2:camera", 0);
  expect(plane.of("p2")?.missing).toBe(false);
  plane.setHeight("p2:camera", 90);
  expect(plane.of("p2")?.missing).toBe(false);
});
