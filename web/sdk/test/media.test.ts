import { beforeEach, expect, test } from "vitest";
import { LocalMedia } from "../src/media/local";
import type { Notice } from "../src/types";
import { Clock, FakeDevices, settle, track } from "./fakes";

let devices: FakeDevices;
let clock: Clock;
let notices: Notice[];
let meters: { track: MediaStreamTrack; say(level: number): void; stopped: boolean }[];
let media: LocalMedia;

beforeEach(() => {
  devices = new FakeDevices();
  clock = new Clock();
  notices = [];
  meters = [];
  const deps = {
    timers: clock,
    mediaDevices: devices as unknown as MediaDevices,
    startMeter: (metered: MediaStreamTrack, say: (level: number) => void) => {
      const meter = { track: metered, say, stopped: false };
      meters.push(meter);
      return { stop: () => void (meter.stopped = true) };
    },
  };
  media = new LocalMedia(deps, { changed: () => undefined, notice: (notice) => notices.push(notice) });
});

function speak(): void {
  for (let i = 0; i < 3; i += 1) meters.at(-1)?.say(0.8);
}

test("off stops the track, on asks for the same device again", async () => {
  await media.camera.switchOn("cam-2");
  const first = media.view.camera;
  media.camera.switchOff();
  expect(first?.readyState).toBe("ended");
  expect(media.flags.video).toBe(false);
  await media.camera.switchOn();
  expect(media.view.camera?.getSettings().deviceId).toBe("cam-2");
  expect(devices.live).toHaveLength(1);
});

test("switching to another device stops the one before", async () => {
  await media.microphone.switchOn("a");
  await media.microphone.switchOn("b");
  expect(devices.live.map(({ settings }) => settings.deviceId)).toEqual(["b"]);
  await media.microphone.switchOn("b");
  expect(devices.opened).toHaveLength(2);
});

test("the last wish wins while the browser still asks", async () => {
  let grant = (): void => undefined;
  devices.hold = new Promise((resolve) => (grant = resolve));
  const wished = expect(media.camera.switchOn()).rejects.toMatchObject({ reason: "aborted" });
  media.camera.switchOff();
  grant();
  await wished;
  expect(devices.live).toEqual([]);
  expect(media.view.camera).toBeNull();
});

test.each([
  ["NotAllowedError", "permission_denied"],
  ["NotFoundError", "no_device"],
  ["NotReadableError", "device_busy"],
  ["TypeError", "unsupported"],
])("%s is told as %s", async (name, reason) => {
  devices.failWith = name;
  await expect(media.microphone.switchOn()).rejects.toMatchObject({ reason });
  await expect(media.screen.start("detail")).rejects.toMatchObject({ reason });
});

test("an unplugged device is off, and said to be lost", async () => {
  await media.microphone.switchOn();
  devices.opened[0]?.lose();
  expect(media.view.microphone).toBeNull();
  expect(notices).toEqual([{ kind: "device_lost", device: "microphone" }]);
});

test("muted, the microphone is closed, unless it was asked to listen on", async () => {
  await media.microphone.switchOn();
  speak();
  expect(media.view).toMatchObject({ speaking: true, speakingWhileMuted: false });
  media.microphone.switchOff();
  expect(devices.live).toEqual([]);
  expect(meters.every(({ stopped }) => stopped)).toBe(true);
  media.microphone.keepOpen = true;
  await media.microphone.switchOn();
  const open = media.view.microphone;
  media.microphone.switchOff();
  expect(media.tracks.microphone).toBeNull();
  speak();
  expect(media.view).toMatchObject({ microphone: null, speaking: false, speakingWhileMuted: true });
  await media.microphone.switchOn();
  expect(media.view.microphone).toBe(open);
});

test("tracks the page brought along are taken over, and stopped at the end", async () => {
  const microphone = track("audio", { deviceId: "m" });
  media.microphone.adopt(microphone);
  media.camera.adopt(null);
  await media.screen.start("motion");
  expect(media.flags).toEqual({ audio: true, video: false, screen: true });
  media.close();
  await settle();
  expect(microphone.readyState).toBe("ended");
  expect(devices.live).toEqual([]);
  expect(media.flags).toEqual({ audio: false, video: false, screen: false });
  expect(meters.every(({ stopped }) => stopped)).toBe(true);
});

test("the surface is read after the choice, and again when the person switches", async () => {
  devices.surface = "browser";
  await media.screen.start("detail");
  expect(media.view.screenSurface).toBe("browser");
  const shared = devices.opened[0];
  if (shared) shared.settings = { displaySurface: "monitor" };
  shared?.dispatchEvent(new Event("configurationchange"));
  expect(media.view.screenSurface).toBe("monitor");
});
