// The camera in sizes or in layers, over m-lines that take what they are told to take.
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { Camera } from "../src/plane/camera";
import { cameraCodecs, setLayers, type Encoding } from "../src/plane/encodings";
import { settle } from "./fakes";

const LARGE = { getSettings: () => ({ width: 1_280, height: 720 }) } as MediaStreamTrack;

class Line {
  mid = "1";
  stopped = false;
  preferred: string[] = [];
  encodings: Encoding[];
  /** Modes that its browser knows. */
  modes = /./;
  told = 0;
  sender = {
    track: null as MediaStreamTrack | null,
    replaceTrack: (track: MediaStreamTrack | null): Promise<void> => {
      this.sender.track = track;
      return Promise.resolve();
    },
    getParameters: () => ({
      codecs: this.preferred.map((mimeType) => ({ mimeType })),
      encodings: structuredClone(this.encodings),
    }),
    setParameters: ({ encodings }: { encodings: Encoding[] }): Promise<void> => {
      this.told += 1;
      if (!this.modes.test(encodings[0]?.scalabilityMode ?? "L1T1")) return Promise.reject(new Error("no such mode"));
      this.encodings = encodings;
      return Promise.resolve();
    },
  };

  constructor(encodings: Encoding[]) {
    this.encodings = encodings.map((encoding) => ({ active: true, ...encoding }));
  }

  setCodecPreferences(codecs: { mimeType: string }[]): void {
    this.preferred = codecs.map(({ mimeType }) => mimeType);
  }

  stop(): void {
    this.stopped = true;
  }
}

let lines: Line[];
let logged: ReturnType<typeof vi.spyOn>;

beforeEach(() => {
  lines = [];
  logged = vi.spyOn(console, "info").mockImplementation(() => undefined);
  const codecs = ["video/VP8", "video/rtx", "video/VP9"].map((mimeType) => ({ mimeType, clockRate: 90_000 }));
  codecs.push({ mimeType: "video/VP9", clockRate: 90_000, sdpFmtpLine: "profile-id=2" } as (typeof codecs)[0]);
  vi.stubGlobal("RTCRtpSender", { getCapabilities: () => ({ codecs }) });
});

afterEach(() => {
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

function camera(codec: "vp9" | "av1" | null): Camera {
  const add = (encodings: RTCRtpEncodingParameters[]): RTCRtpTransceiver => {
    lines.push(new Line(encodings));
    return lines.at(-1) as unknown as RTCRtpTransceiver;
  };
  return new Camera(add, codec);
}

const last = (): Line => lines.at(-1) as Line;

test("in layers it is one stream of one codec, and of as many layers as suit it", async () => {
  const sent = camera("vp9");
  sent.setTrack(LARGE);
  await settle();
  expect(last().preferred).toEqual(["video/VP9", "video/rtx"]);
  expect(last().encodings).toEqual([
    { active: true, scaleResolutionDownBy: 1, maxBitrate: 1_700_000, scalabilityMode: "L3T3_KEY" },
  ]);
  expect(await sent.settle()).toBe(true);
  expect(lines).toHaveLength(1);
});

test("nobody looks, and nothing is encoded; somebody does, and it goes on", async () => {
  const sent = camera("vp9");
  sent.setTrack(LARGE);
  for (const [watched, saves, active, mode] of [
    [0, false, false, "L1T3"],
    [1, false, true, "L3T3_KEY"],
    [0, true, false, "L1T3"],
    [1, true, true, "L1T3"],
  ] as const) {
    sent.setWanted(watched, saves);
    await settle();
    expect(last().encodings[0]).toMatchObject({ active, scalabilityMode: mode });
  }
  expect(last().encodings[0]?.scaleResolutionDownBy).toBe(4);
});

test("another codec takes another m-line: the track goes by it, and the one before ends", async () => {
  const sent = camera(null);
  sent.setTrack(LARGE);
  await settle();
  expect(last().encodings).toHaveLength(3);
  expect(sent.choose("vp9")).toBe(true);
  expect(sent.choose("vp9")).toBe(false);
  await settle();
  expect(lines.map(({ stopped }) => stopped)).toEqual([true, false]);
  expect(last().sender.track).toBe(LARGE);
  expect(sent.choose(null)).toBe(true);
  await settle();
  expect(last().encodings).toHaveLength(3);
  expect(lines.map(({ stopped }) => stopped)).toEqual([true, true, false]);
});

test("a mode that is not taken leads back to sizes, is told in the log, and is not tried again", async () => {
  const sent = camera("vp9");
  last().modes = /^L1T1$/;
  sent.setTrack(LARGE);
  await settle();
  expect(await sent.settle()).toBe(false);
  await settle();
  expect(logged).toHaveBeenCalledOnce();
  expect(last().encodings).toHaveLength(3);
  expect(last().sender.track).toBe(LARGE);
  expect(sent.choose("vp9")).toBe(false);
  expect(await sent.settle()).toBe(true);
});

test("so does a codec that was not agreed on, and one that the browser does not have", async () => {
  const sent = camera("vp9");
  last().preferred = [];
  expect(await sent.settle()).toBe(false);
  camera("av1");
  expect(last().encodings).toHaveLength(3);
  expect(logged).toHaveBeenCalledTimes(2);
});

test.each([
  [{ width: 1_280, height: 720 }, "L3T3_KEY"],
  // A phone held upright.
  [{ width: 360, height: 640 }, "L2T3_KEY"],
  [{ width: 320, height: 180 }, "L1T3"],
])("a camera of %j goes up as %s, said once", async (settings, mode) => {
  const line = new Line([{}]);
  line.sender.track = { getSettings: () => settings } as MediaStreamTrack;
  for (let i = 0; i < 2; i += 1) await setLayers(line.sender as unknown as RTCRtpSender, Infinity);
  expect(line.encodings[0]).toMatchObject({ scalabilityMode: mode, scaleResolutionDownBy: 1 });
  expect(line.told).toBe(1);
});

test("a browser that knows layers is believed, and one that says yes to everything is not", async () => {
  const says = (able: string[]): void => {
    const encodingInfo = ({ video }: { video: { contentType: string } }): Promise<object> =>
      Promise.resolve({ supported: able.includes(video.contentType) });
    vi.stubGlobal("navigator", { mediaCapabilities: { encodingInfo } });
  };
  says(["video/vp9"]);
  expect(await cameraCodecs()).toEqual(["vp8", "vp9"]);
  says(["video/vp8", "video/vp9", "video/av1"]);
  expect(await cameraCodecs()).toEqual(["vp8"]);
  vi.stubGlobal("navigator", {});
  expect(await cameraCodecs()).toEqual(["vp8"]);
});
