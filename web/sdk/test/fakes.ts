// What the tests hand in instead of a browser: a clock that is moved by hand, tracks, devices, peer connections.
import type { Deps, Timers } from "../src/deps";
import { browserlessDeps } from "./browserless";
import type { FakeServer } from "./fake-server";

/** Lets everything that waits for a promise run. */
export async function settle(): Promise<void> {
  for (let i = 0; i < 5; i += 1) await new Promise((resolve) => setImmediate(resolve));
}

export class Clock implements Timers {
  time = 1_000_000;
  #next = 0;
  #timers = new Map<number, { at: number; every: number | null; run: () => void }>();

  now = (): number => this.time;
  after = (ms: number, run: () => void): (() => void) => this.#add(ms, null, run);
  every = (ms: number, run: () => void): (() => void) => this.#add(ms, ms, run);

  /** Timers that are armed. */
  get armed(): number {
    return this.#timers.size;
  }

  /** Moves the clock and runs what is due, in order, with promises settled in between. */
  async advance(ms: number): Promise<void> {
    const end = this.time + ms;
    for (;;) {
      const [due] = [...this.#timers].filter(([, { at }]) => at <= end).sort(([, a], [, b]) => a.at - b.at);
      if (!due) break;
      const [id, timer] = due;
      this.time = Math.max(this.time, timer.at);
      if (timer.every === null) this.#timers.delete(id);
      else timer.at += timer.every;
      timer.run();
      await settle();
    }
    this.time = end;
    await settle();
  }

  #add(ms: number, every: number | null, run: () => void): () => void {
    this.#next += 1;
    const id = this.#next;
    this.#timers.set(id, { at: this.time + ms, every, run });
    return () => this.#timers.delete(id);
  }
}

export class FakeTrack extends EventTarget {
  readyState: "live" | "ended" = "live";
  contentHint = "";
  onended: (() => void) | null = null;
  kind: string;
  settings: MediaTrackSettings;

  constructor(kind: "audio" | "video", settings: MediaTrackSettings = {}) {
    super();
    this.kind = kind;
    this.settings = settings;
  }

  getSettings(): MediaTrackSettings {
    return this.settings;
  }

  stop(): void {
    this.readyState = "ended";
  }

  /** The device is unplugged. */
  lose(): void {
    this.readyState = "ended";
    this.onended?.();
  }
}

export function track(kind: "audio" | "video", settings: MediaTrackSettings = {}): FakeTrack & MediaStreamTrack {
  return new FakeTrack(kind, settings) as unknown as FakeTrack & MediaStreamTrack;
}

export class FakeStream {
  tracks: MediaStreamTrack[];
  constructor(tracks: MediaStreamTrack[]) {
    this.tracks = tracks;
  }
  getTracks = (): MediaStreamTrack[] => this.tracks;
  getAudioTracks = (): MediaStreamTrack[] => this.tracks.filter(({ kind }) => kind === "audio");
  getVideoTracks = (): MediaStreamTrack[] => this.tracks.filter(({ kind }) => kind === "video");
}

/** Devices that are always there, unless told to fail. */
export class FakeDevices {
  opened: FakeTrack[] = [];
  asked: (MediaStreamConstraints | DisplayMediaStreamOptions)[] = [];
  failWith: string | null = null;
  /** While set, nothing is answered. */
  hold: Promise<void> | null = null;
  surface = "window";

  getUserMedia = async (constraints: MediaStreamConstraints): Promise<MediaStream> => {
    await this.#ask(constraints);
    const kind = constraints.audio ? "audio" : "video";
    const wanted = (constraints.audio || constraints.video) as { deviceId?: { exact?: string; ideal?: string } };
    const deviceId = wanted.deviceId?.exact ?? wanted.deviceId?.ideal ?? `default-${kind}`;
    return this.#open([track(kind, { deviceId })]);
  };

  getDisplayMedia = async (options: DisplayMediaStreamOptions): Promise<MediaStream> => {
    await this.#ask(options);
    return this.#open([track("video", { displaySurface: this.surface }), track("audio")]);
  };

  get live(): FakeTrack[] {
    return this.opened.filter(({ readyState }) => readyState === "live");
  }

  async #ask(constraints: MediaStreamConstraints | DisplayMediaStreamOptions): Promise<void> {
    this.asked.push(constraints);
    if (this.hold) await this.hold;
    if (this.failWith) throw Object.assign(new Error("no"), { name: this.failWith });
  }

  #open(tracks: (FakeTrack & MediaStreamTrack)[]): MediaStream {
    this.opened.push(...tracks);
    return new FakeStream(tracks) as unknown as MediaStream;
  }
}

/** Storage in memory. */
export function fakeStorage(): Storage {
  const map = new Map<string, string>();
  return {
    getItem: (key: string) => map.get(key) ?? null,
    setItem: (key: string, value: string) => void map.set(key, value),
    removeItem: (key: string) => void map.delete(key),
    clear: () => map.clear(),
    key: (i: number) => [...map.keys()][i] ?? null,
    get length() {
      return map.size;
    },
  };
}

export interface Bench {
  deps: Deps;
  clock: Clock;
  devices: FakeDevices;
  wake(): void;
  hidePage(): void;
  /** Listeners of the page that are still there. */
  listeners(): number;
}

/** Dependencies of one page whose sockets lead to `server`. */
export function bench(server: FakeServer, clock = new Clock()): Bench {
  const devices = new FakeDevices();
  const wakes = new Set<() => void>();
  const hides = new Set<() => void>();
  const listen = (set: Set<() => void>) => (listener: () => void) => {
    const entry = (): void => listener();
    set.add(entry);
    return () => void set.delete(entry);
  };
  const deps: Deps = {
    ...browserlessDeps(),
    timers: clock,
    createSocket: server.createSocket,
    mediaDevices: devices as unknown as MediaDevices,
    storage: fakeStorage(),
    onWake: listen(wakes),
    onPageHide: listen(hides),
  };
  return {
    deps,
    clock,
    devices,
    wake: () => [...wakes].forEach((each) => each()),
    hidePage: () => [...hides].forEach((each) => each()),
    listeners: () => wakes.size + hides.size,
  };
}
