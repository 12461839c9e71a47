// A call that only exists on this page: whatever state the fixture asks for. Never built.
import type {
  Bandwidth,
  Call,
  CallEvents,
  CallState,
  Caption,
  ChatLine,
  FileTransfer,
  Local,
  Participant,
  Peer,
  Permissions,
  Quality,
  Room,
} from "../src/lib/sdk.ts";
import { cameraStream, lookOf, screenStream } from "./scenes.ts";

export interface Wanted {
  readonly people: number;
  readonly share: "none" | "them" | "window" | "monitor";
  readonly camera: boolean;
  readonly microphone: boolean;
  readonly state: CallState;
  readonly chat: boolean;
  readonly host: boolean;
  readonly entry: "open" | "ring";
  readonly ringing: boolean;
  readonly locked: boolean;
  readonly meshFull: boolean;
  readonly talkingMuted: boolean;
  readonly bandwidth: Bandwidth;
  readonly paused: boolean;
  /** Breakout rooms; 0: none. */
  readonly rooms: number;
  /** In one of them. */
  readonly inside: boolean;
  readonly watching: boolean;
  readonly captions: boolean;
}

const NAMES = [
  "Ann Weber",
  "Kofi Mensah",
  "Ida Lindqvist",
  "Ben Carter",
  "Noor Haddad",
  "Jun Park",
  "Eva Novak",
  "Leo Rossi",
];
/** Of many people several share a picture: as many canvases at once are too many for the page. */
const MOST_PICTURES = 4;
const cameras = new Map<number, MediaStream>();
const SAS = [
  ["amber", "violin", "harbor", "seven"],
  ["candle", "otter", "meadow", "piano"],
  ["river", "tulip", "copper", "window"],
];

export function fakeCall(wanted: Wanted): Call {
  const me = person("p1", "Mira Santos", {
    audio: wanted.microphone,
    video: wanted.camera,
    screen: wanted.share === "window" || wanted.share === "monitor",
  });
  const peers = Array.from({ length: wanted.people - 1 }, (_, index) => peer(index, wanted));
  if (wanted.ringing)
    peers.push({
      ...peer(3, wanted),
      info: { ...person("p9", "Ben Carter"), state: "ringing" },
      connection: "none",
      sas: null,
    });
  if (wanted.watching) me.may = WATCH_ONLY;
  const own = cameraStream(lookOf(2));
  const track = own.getVideoTracks()[0] ?? null;
  const listeners: { [K in keyof CallEvents]?: ((value: CallEvents[K]) => void)[] } = {};
  const state = wanted.state;
  const local: Local = {
    microphone: wanted.microphone ? track : null,
    camera: wanted.camera ? track : null,
    screen: me.media.screen ? screenStream() : null,
    screenSurface: wanted.share === "monitor" ? "monitor" : me.media.screen ? "window" : null,
    speaking: false,
    speakingWhileMuted: wanted.talkingMuted,
  };
  const room: Room = {
    topology: "p2p",
    always_sfu: false,
    tokens: false,
    watch_only: wanted.watching,
    ...(wanted.inside && { parent: "tovu-rabi-keno-lipa-duza" }),
    ...(wanted.rooms > 0 && { breakouts: breakouts(wanted) }),
    name: wanted.inside ? "tovu-rabi-keno-lipa-duza-2" : "tovu-rabi-keno-lipa-duza",
    host: wanted.host ? "p1" : "p2",
    locked: wanted.locked,
    entry: wanted.entry,
    relay_only: false,
    started_at: Date.now() - 754_000,
    counts: {
      participants: wanted.people,
      audio: wanted.people,
      video: wanted.people - 1,
      screen: wanted.share === "none" ? 0 : 1,
    },
  };
  const done = (): Promise<void> => Promise.resolve();
  return {
    state,
    room,
    me,
    isHost: wanted.host,
    canHost: wanted.host,
    may: me.may ?? USUAL,
    moving: false,
    captions: wanted.captions ? captions() : [],
    peers,
    chat: wanted.chat ? lines() : [],
    files: wanted.chat && wanted.people > 1 ? files() : [],
    local,
    encryption: "off",
    meshFull: wanted.meshFull,
    on(event, listener) {
      ((listeners[event] ??= []) as unknown[]).push(listener);
      return () => undefined;
    },
    join: done,
    leave: done,
    setMicrophone: done,
    setCamera: done,
    shareScreen: done,
    stopScreen: done,
    rename: done,
    say: done,
    send: done,
    offerFile: () => "",
    acceptFile: () => undefined,
    declineFile: () => undefined,
    cancelFile: () => undefined,
    accept: done,
    decline: done,
    lock: done,
    remove: done,
    handOver: done,
    end: done,
    mute: done,
    raiseHand: done,
    lowerHand: done,
    forward: done,
    ...FAMILY,
    canForward: true,
    speakers: [],
    bandwidth: wanted.bandwidth,
    setBandwidth: () => undefined,
    setCameraCodec: () => undefined,
    showing: () => undefined,
  } as Call;
}

const nothing = (): Promise<void> => Promise.resolve();
const FAMILY = {
  permit: nothing,
  newcomers: nothing,
  openBreakouts: nothing,
  closeBreakouts: nothing,
  moveTo: nothing,
  caption: nothing,
};
const NOTHING = { audio: false, video: false, screen: false };
const ALL = { audio: true, video: true, screen: true };
const USUAL: Permissions = { publish: ALL, subscribe: true, data: true, admin: false };
const WATCH_ONLY: Permissions = { ...USUAL, publish: NOTHING };

function breakouts({ rooms, inside }: Wanted): NonNullable<Room["breakouts"]> {
  return Array.from({ length: rooms }, (_, index) => ({
    name: inside && index === 1 ? "tovu-rabi-keno-lipa-duza-2" : `tovu-${index + 1}`,
    participants: NAMES.slice(index * 2, index * 2 + (index % 3)).map((name, at) => ({ id: `p${at + 1}`, name })),
  }));
}

function captions(): Caption[] {
  const line = (at: number, name: string, text: string): Caption => ({
    from: name,
    name,
    line: at,
    text,
    done: at < 2,
    language: "en",
    at: Date.now() + 3_600_000,
    mine: false,
  });
  return [
    line(1, "Ann Weber", "The beds along the south wall get the afternoon sun, so tomatoes go there."),
    line(2, "Kofi Mensah", "And the herbs nearer to the gate"),
  ];
}

function person(id: string, name: string, media = { audio: true, video: true, screen: false }): Participant {
  return {
    id,
    name,
    media,
    state: "here",
    hide_address: id === "p3",
    encrypted: false,
    client: "web",
    epoch: 1,
    joined_at: Date.now(),
    tracks: [],
  };
}

function peer(index: number, wanted: Wanted): Peer {
  const presents = index === 0 && wanted.share === "them";
  const dark = index % 7 === 2;
  return {
    info: person(`p${index + 2}`, NAMES[index % NAMES.length] ?? "Guest", {
      audio: index !== 1,
      video: !dark,
      screen: presents,
    }),
    connection: wanted.meshFull ? "none" : "connected",
    path: index === 1 ? "relay" : "p2p",
    camera: dark ? null : cameraOf(index),
    screen: presents ? screenStream() : null,
    sas: SAS[index] ?? null,
    quality: quality(index === 1 ? "fair" : "good", index),
    speaking: index === 0 && wanted.people > 2,
    forwarded: false,
    encrypted: "none",
    paused: wanted.paused && index === 0,
    missing: false,
  };
}

function cameraOf(index: number): MediaStream {
  const look = [0, 1, 2, 3][index % MOST_PICTURES] ?? 0;
  const known = cameras.get(look) ?? cameraStream(lookOf(look));
  cameras.set(look, known);
  return known;
}

function quality(level: Quality["level"], index: number): Quality {
  return {
    level,
    trouble: level === "fair" ? "their_upload" : "none",
    roundTripMs: 24 + index * 31,
    lossIn: index * 0.012,
    lossOut: 0,
    bitsIn: 1_840_000 - index * 900_000,
    bitsOut: 1_620_000,
    jitterMs: 3 + index * 4,
    width: 1280,
    height: 720,
    framesPerSecond: 30,
    codecs: ["VP9", "Opus"],
    localCandidate: index === 1 ? "relay" : "host",
    remoteCandidate: index === 1 ? "relay" : "srflx",
    relayProtocol: index === 1 ? "udp" : null,
  };
}

function lines(): ChatLine[] {
  const at = Date.now() - 400_000;
  // eslint-disable-next-line max-params -- a table, and this is its row
  const line = (n: number, from: string, name: string, text: string, mine = false, priv = false): ChatLine => ({
    id: String(n),
    from,
    name,
    text,
    at: at + n * 21_000,
    mine,
    private: priv,
  });
  return [
    line(0, "p2", "Ann Weber", "Good morning. Can you see the plan?"),
    line(1, "p1", "Mira Santos", "Yes, sharp. The beds along the south wall look right to me.", true),
    line(2, "p3", "Kofi Mensah", "I have the photographs from Saturday."),
    line(3, "p3", "Kofi Mensah", "Sending them now."),
    line(14, "p2", "Ann Weber", "Who opens the gate on Monday?", false, true),
  ];
}

function files(): FileTransfer[] {
  const base = { type: "application/zip", reason: null, blob: null, sha256: null } as const;
  return [
    {
      ...base,
      id: "f1",
      peer: "p2",
      direction: "out",
      name: "planting-plan.pdf",
      size: 2_400_000,
      done: 1_500_000,
      state: "running",
    },
    {
      ...base,
      id: "f2",
      peer: "p2",
      direction: "in",
      name: "garden-photographs-saturday.zip",
      size: 20_400_000,
      done: 0,
      state: "offered",
    },
  ];
}
