// Dependencies that need no browser; tests replace what they are about.
import type { Deps } from "../src/deps";
import { FakePeerConnection } from "./fake-pc";
import { Clock, FakeStream } from "./fakes";

export function browserlessDeps(): Deps {
  return {
    createCipherWorker: () => null,
    origin: "https://host.example",
    timers: new Clock(),
    random: (bytes) => crypto.getRandomValues(new Uint8Array(bytes)),
    createSocket: () => {
      throw new Error("no socket in this test");
    },
    fetch: () => Promise.reject(new Error("no network in this test")),
    createPeerConnection: (config) => new FakePeerConnection(config) as unknown as RTCPeerConnection,
    createStream: (tracks) => new FakeStream(tracks) as unknown as MediaStream,
    mediaDevices: null,
    startMeter: () => null,
    storage: null,
    onWake: () => () => undefined,
    onPageHide: () => () => undefined,
    nextFrame: (run) => {
      const timer = setImmediate(run);
      return () => clearImmediate(timer);
    },
  };
}
