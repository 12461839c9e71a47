import { expect, test } from "vitest";
import { listDevices, onDevicesChanged, openDevice } from "../src/devices";
import { levelOf, SpeechDetector } from "../src/level";
import { shareLink, type ShareTarget } from "../src/links";
import { roomName } from "../src/names";
import { FakeDevices } from "./fakes";

test("a room's name is pronounceable, and every bit of randomness shows in it", () => {
  expect(roomName()).toMatch(/^([bdfghjklmnprstvz][aiou]){3}(-([bdfghjklmnprstvz][aiou]){3}){3}$/);
  expect(roomName((bytes) => new Uint8Array(bytes))).toBe("bababa-bababa-bababa-bababa");
  expect(new Set(Array.from({ length: 64 }, (_, i) => roomName((n) => new Uint8Array(n).fill(i)))).size).toBe(64);
});

test("share links carry address and text unharmed", () => {
  const invitation = { url: "https://host.example/r/a?b=c&d=ü", text: "Join & talk", subject: "A call" };
  const targets: ShareTarget[] = ["mail", "sms", "whatsapp", "telegram", "x", "facebook", "linkedin"];
  for (const target of targets) {
    const link = new URL(shareLink(target, invitation));
    expect(["mailto:", "sms:", "https:"]).toContain(link.protocol);
    expect([...link.searchParams.values()].join(" ")).toContain(invitation.url);
    expect(link.search).not.toContain("+");
  }
  expect(new URL(shareLink("mail", invitation)).searchParams.get("subject")).toBe("A call");
});

test("the level is 0 for silence, 1 for full scale, and in between by ear", () => {
  expect(levelOf(new Float32Array(100))).toBe(0);
  expect(levelOf(new Float32Array(100).fill(1))).toBe(1);
  expect(levelOf(new Float32Array(100).fill(0.001))).toBeCloseTo(0);
  expect(levelOf(new Float32Array(100).fill(0.0316))).toBeCloseTo(0.5, 2);
});

test("speech begins soon, outlasts the pause between words, and is not a single click", () => {
  const speech = new SpeechDetector();
  speech.handleLevel(0, 0.9);
  expect(speech.handleLevel(50, 0)).toBe(false);
  speech.handleLevel(100, 0.6);
  expect(speech.handleLevel(150, 0.6)).toBe(true);
  speech.handleLevel(600, 0);
  expect(speech.speaking).toBe(true);
  speech.handleLevel(1_000, 0);
  expect(speech.speaking).toBe(false);
});

test("devices are listed by kind, without those that cannot be chosen", async () => {
  const devices = {
    enumerateDevices: async () => [
      { kind: "audioinput", deviceId: "m", label: "Mic" },
      { kind: "videoinput", deviceId: "", label: "" },
      { kind: "audiooutput", deviceId: "s", label: "Speaker" },
    ],
  } as unknown as MediaDevices;
  expect(await listDevices(devices)).toEqual({
    microphones: [{ id: "m", label: "Mic" }],
    cameras: [],
    speakers: [{ id: "s", label: "Speaker" }],
  });
});

test("a preview opens the device that was asked for, or says why not", async () => {
  const devices = new FakeDevices();
  const camera = await openDevice("camera", "cam-2", devices as unknown as MediaDevices);
  expect(camera.getSettings().deviceId).toBe("cam-2");
  devices.failWith = "NotAllowedError";
  const refused = openDevice("microphone", undefined, devices as unknown as MediaDevices);
  await expect(refused).rejects.toMatchObject({ reason: "permission_denied" });
});

test("a listener for plugging is removed again", () => {
  const devices = new EventTarget() as MediaDevices;
  let changes = 0;
  const stop = onDevicesChanged(() => (changes += 1), devices);
  devices.dispatchEvent(new Event("devicechange"));
  stop();
  devices.dispatchEvent(new Event("devicechange"));
  expect(changes).toBe(1);
});
