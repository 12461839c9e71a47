// Everything of the browser that the call touches, handed in so that tests can hand in something else.
import { createCipherWorker } from "./encryption/start";
import { startMeter, type Meter } from "./level";

/** One-shot and repeating timers; each returns the function that cancels it. */
export interface Timers {
  /** Milliseconds since 1970. */
  now(): number;
  after(ms: number, run: () => void): () => void;
  every(ms: number, run: () => void): () => void;
}

export interface Deps {
  /** Origin of the page, the default server. */
  origin: string;
  timers: Timers;
  random(bytes: number): Uint8Array<ArrayBuffer>;
  createSocket(url: string, protocol: string): WebSocket;
  fetch: typeof fetch;
  createPeerConnection(config: RTCConfiguration): RTCPeerConnection;
  createStream(tracks: MediaStreamTrack[]): MediaStream;
  /** What encrypts media; `null`: this browser cannot. */
  createCipherWorker(): Worker | null;
  mediaDevices: MediaDevices | null;
  /** A level meter on a microphone, where the browser can. */
  startMeter(track: MediaStreamTrack, listener: (level: number) => void): Meter | null;
  /** Default place of the resume token. */
  storage: Storage | null;
  /** Calls back when the network or the page comes back to life. */
  onWake(listener: () => void): () => void;
  /** Calls back when the page goes away, perhaps to be reloaded. */
  onPageHide(listener: () => void): () => void;
  /** Runs once before the next frame is painted, or soon when nothing is painted. */
  nextFrame(run: () => void): () => void;
}

export const systemTimers: Timers = {
  now: () => Date.now(),
  after(ms, run) {
    const timer = setTimeout(run, ms);
    return () => clearTimeout(timer);
  },
  every(ms, run) {
    const timer = setInterval(run, ms);
    return () => clearInterval(timer);
  },
};

/** The real browser, as far as there is one: a page that is rendered on a server may create a call it never joins. */
export function browserDeps(): Deps {
  return {
    origin: typeof location === "undefined" ? "" : location.origin,
    timers: systemTimers,
    random: (bytes) => crypto.getRandomValues(new Uint8Array(bytes)),
    createSocket: (url, protocol) => new WebSocket(url, protocol),
    fetch: (input, init) => fetch(input, init),
    createPeerConnection: (config) => new RTCPeerConnection(config),
    createStream: (tracks) => new MediaStream(tracks),
    createCipherWorker,
    mediaDevices: typeof navigator === "undefined" ? null : (navigator.mediaDevices ?? null),
    startMeter,
    storage: sessionStorageOrNull(),
    onWake,
    onPageHide(listener) {
      addEventListener("pagehide", listener);
      return () => removeEventListener("pagehide", listener);
    },
    nextFrame,
  };
}

/** Touching `sessionStorage` throws where the person has forbidden storage. */
function sessionStorageOrNull(): Storage | null {
  try {
    return window.sessionStorage;
  } catch {
    return null;
  }
}

function onWake(listener: () => void): () => void {
  const onVisibility = (): void => {
    if (document.visibilityState === "visible") listener();
  };
  addEventListener("online", listener);
  document.addEventListener("visibilitychange", onVisibility);
  return () => {
    removeEventListener("online", listener);
    document.removeEventListener("visibilitychange", onVisibility);
  };
}

/** Animation frames stop in a hidden tab, so a timer runs beside them and the first of the two wins. */
function nextFrame(run: () => void): () => void {
  const cancel = (): void => {
    cancelAnimationFrame(frame);
    clearTimeout(timer);
  };
  const fire = (): void => {
    cancel();
    run();
  };
  const frame = requestAnimationFrame(fire);
  const timer = setTimeout(fire, HIDDEN_TAB_MS);
  return cancel;
}

const HIDDEN_TAB_MS = 100;
