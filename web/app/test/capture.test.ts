// The browser's own button, played by an event target, and what the green room makes of it.
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { watchCapture, type Captured } from "../src/lib/capture.ts";
import { Green } from "../src/pages/room/green.svelte.ts";

class FakeTrack extends EventTarget {
  readyState = "live";
  kind: string;
  constructor(kind: string) {
    super();
    this.kind = kind;
  }
  getSettings = (): MediaTrackSettings => ({ deviceId: `the ${this.kind}` });
  stop(): void {
    this.readyState = "ended";
  }
}

class FakeUserMedia extends EventTarget {
  stream: { getAudioTracks(): FakeTrack[]; getVideoTracks(): FakeTrack[] } | null = null;
  error: { name: string } | null = null;
  constraints: MediaStreamConstraints | null = null;

  setConstraints(constraints: MediaStreamConstraints): void {
    this.constraints = constraints;
  }

  /** The person has pressed it and allowed these. */
  grant(...tracks: FakeTrack[]): void {
    const of = (kind: string) => () => tracks.filter((track) => track.kind === kind);
    this.stream = { getAudioTracks: of("audio"), getVideoTracks: of("video") };
    this.dispatchEvent(new Event("stream"));
  }

  deny(name: string): void {
    this.error = { name };
    this.dispatchEvent(new Event("error"));
  }
}

const asElement = (target: EventTarget): HTMLElement => target as unknown as HTMLElement;

test("a press that the browser disregards is not lost, and is no trouble with the devices", () => {
  const element = new FakeUserMedia();
  const output = { captured: vi.fn(), failed: vi.fn(), ignored: vi.fn() };
  const stop = watchCapture(asElement(element), { video: true }, output);
  element.deny("InvalidStateError");
  expect(output.ignored).toHaveBeenCalledTimes(1);
  expect(output.failed).not.toHaveBeenCalled();
  stop();
  element.deny("InvalidStateError");
  expect(output.ignored).toHaveBeenCalledTimes(1);
});

test("an element the browser knows is told what to ask for, and hands over what it has opened", () => {
  const element = new FakeUserMedia();
  const captured: Captured[] = [];
  const failed: string[] = [];
  const constraints = { audio: { echoCancellation: true }, video: true };
  const stop = watchCapture(asElement(element), constraints, {
    captured: (tracks) => captured.push(tracks),
    failed: (why) => failed.push(why),
    ignored: () => undefined,
  });
  expect(element.constraints).toEqual(constraints);
  const [microphone, camera] = [new FakeTrack("audio"), new FakeTrack("video")];
  element.grant(microphone, camera);
  element.grant(camera);
  expect(captured).toEqual([
    { microphone, camera },
    { microphone: null, camera },
  ]);
  for (const name of ["NotAllowedError", "NotFoundError", "NotReadableError", "Unheard"]) element.deny(name);
  expect(failed).toEqual(["permission", "noDevice", "busy", "device"]);
  stop();
  element.deny("NotAllowedError");
  expect(failed).toHaveLength(4);
});

test("an element the browser does not know is left alone: the button inside it does the work", () => {
  const unknown = new EventTarget();
  const captured = vi.fn();
  watchCapture(asElement(unknown), {}, { captured, failed: captured, ignored: captured });
  unknown.dispatchEvent(new Event("stream"));
  expect(captured).not.toHaveBeenCalled();
});

beforeEach(() => {
  vi.stubGlobal("navigator", {
    mediaDevices: Object.assign(new EventTarget(), { enumerateDevices: () => Promise.resolve([]) }),
  });
});

afterEach(() => {
  vi.unstubAllGlobals();
});

test("the green room takes the tracks, remembers the devices, and hands both over to the call", () => {
  const green = new Green();
  const [microphone, camera] = [new FakeTrack("audio"), new FakeTrack("video")];
  green.refuse("permission");
  expect(green.trouble).toEqual({ what: "both", why: "permission" });
  green.adopt({ microphone, camera } as unknown as Captured);
  expect(green).toMatchObject({ trouble: null, silent: false });
  expect(green.preferences).toMatchObject({ microphoneId: "the audio", cameraId: "the video" });
  expect(green.constraints).toMatchObject({ audio: { deviceId: { ideal: "the audio" } } });
  expect(green.handOver()).toEqual({ microphone, camera });
  expect([microphone.readyState, camera.readyState]).toEqual(["live", "live"]);
});

test("tracks that come after the green room was left are stopped", () => {
  const green = new Green();
  green.close();
  const camera = new FakeTrack("video");
  green.adopt({ microphone: null, camera } as unknown as Captured);
  expect(green.camera).toBeNull();
  expect(camera.readyState).toBe("ended");
});
