// A server of the session protocol in memory, small but strict: numbers, resume, epochs and restart are as in
// core/api/src/signal.rs. Sockets are handed out as `WebSocket`s to the code under test.
import type {
  ClientFrame,
  Event,
  Hello,
  IceServer,
  Joined,
  LeaveReason,
  Limits,
  Note,
  Numbered,
  Participant,
  Permissions,
  Reason,
  Room,
  Seen,
} from "../src/generated";

export const LIMITS: Limits = {
  frame_bytes: 65_536,
  sdp_bytes: 32_768,
  chat_chars: 2_000,
  name_chars: 60,
  participants: 50,
  mesh: 4,
  sfu: false,
};

interface Seat {
  participant: Participant;
  token: string;
  sent: Numbered[];
  next: number;
  received: number;
  socket: FakeSocket | null;
}

type Framed = Extract<ClientFrame, { id: number }>;

export class FakeServer {
  seats: Seat[] = [];
  locked = false;
  host = "";
  entry: Room["entry"] = "open";
  relayOnly = false;
  watchOnly = false;
  /** Of those who enter: what is good here, and what it gives; `null`: nothing is needed. */
  tokens: Map<string, Pick<Participant, "may" | "identity">> | null = null;
  name = "room";
  parent: string | null = null;
  /** By name: rooms of the same family. Whoever enters one of them is its guest from then on. */
  family = new Map<string, FakeServer>();
  limits = LIMITS;
  iceServers: IceServer[] = [];
  /** Sockets that are open. */
  sockets = new Set<FakeSocket>();
  /** All that clients have said, in order. */
  heard: (Hello | ClientFrame)[] = [];
  reachable = true;
  /** Refuses requests of these types, with this reason. */
  refuse = new Map<ClientFrame["type"], Reason>();
  /** Of the last participant. */
  #number = 0;
  /** A clock that ticks with every entry. */
  #counter = 0;

  createSocket = (): WebSocket => new FakeSocket(this) as unknown as WebSocket;

  get room(): Room {
    const participants = this.seats.filter(({ participant }) => participant.state !== "ringing");
    const count = (flag: "audio" | "video" | "screen"): number =>
      participants.filter(({ participant }) => participant.media[flag]).length;
    return {
      name: this.name,
      host: this.host,
      locked: this.locked,
      entry: this.entry,
      topology: "p2p",
      always_sfu: false,
      tokens: this.tokens !== null,
      watch_only: this.watchOnly,
      ...(this.parent !== null && { parent: this.parent }),
      relay_only: this.relayOnly,
      started_at: 1,
      counts: {
        participants: participants.length,
        audio: count("audio"),
        video: count("video"),
        screen: count("screen"),
      },
    };
  }

  seat(id: string): Seat {
    const seat = this.seats.find(({ participant }) => participant.id === id);
    if (!seat) throw new Error(`nobody is ${id}`);
    return seat;
  }

  /** All transports are lost; places are kept. */
  dropAll(): void {
    for (const socket of [...this.sockets]) socket.drop();
  }

  /** Numbers are forgotten, places are kept. */
  restart(): void {
    this.dropAll();
    for (const seat of this.seats) Object.assign(seat, { sent: [], next: 1, received: -1 });
  }

  /** Says something to one participant. */
  tell(id: string, event: Event): void {
    this.#push(this.seat(id), event);
  }

  note(id: string, note: Note): void {
    this.seat(id).socket?.deliver(note);
  }

  /** The place is gone, with or without a word. */
  remove(id: string, reason: LeaveReason, word = true): void {
    const seat = this.seat(id);
    if (word) this.#push(seat, { type: "out", reason });
    this.seats = this.seats.filter((each) => each !== seat);
    const { socket } = seat;
    seat.socket = null;
    queueMicrotask(() => socket?.drop());
    this.#toAll({ type: "participant_left", participant: id, reason });
    if (this.host === id) {
      this.host = this.seats[0]?.participant.id ?? "";
      this.#toAll({ type: "room_changed", room: this.room });
    }
  }

  handle(socket: FakeSocket, frame: Hello | ClientFrame): void {
    this.heard.push(frame);
    switch (frame.type) {
      case "join":
        return this.#join(socket, frame);
      case "resume":
        return this.#resume(socket, frame);
      case "look":
        return socket.deliver({ type: "seen", ...this.#seen() });
      case "ack":
        return;
      case "ping":
        return socket.deliver({ type: "pong" });
      default:
        this.#request(socket, frame);
    }
  }

  lost(socket: FakeSocket): void {
    this.sockets.delete(socket);
    const seat = this.seats.find((each) => each.socket === socket);
    if (!seat) return;
    seat.socket = null;
    this.#change(seat, { state: "away" });
  }

  #join(socket: FakeSocket, hello: Extract<Hello, { type: "join" }>): void {
    const other = this.family.get(hello.room);
    if (other && other !== this) {
      this.sockets.delete(socket);
      other.sockets.add(socket);
      socket.server = other;
      return other.handle(socket, hello);
    }
    if (this.locked) return socket.refuse("room_locked", "The room is locked.");
    if (this.tokens && !hello.token) return socket.refuse("token_needed", "Nobody enters without a token.");
    const given = this.tokens?.get(hello.token ?? "");
    if (this.tokens && !given) return socket.refuse("bad_token", "The token has expired.");
    const may = given?.may ?? (this.watchOnly && this.seats.length > 0 ? WATCH_ONLY : undefined);
    this.#counter += 1;
    this.#number += 1;
    const id = `p${this.#number}`;
    const ringing = this.entry === "ring" && this.seats.length > 0;
    if (this.seats.length === 0) {
      this.host = id;
      this.entry = hello.entry;
    }
    const participant: Participant = {
      id,
      name: hello.name,
      media: may ? within(hello.media, may.publish) : hello.media,
      ...given,
      ...(may && { may }),
      state: this.entry === "ring" && ringing ? "ringing" : "here",
      hide_address: hello.hide_address,
      encrypted: hello.encrypted,
      client: "web",
      epoch: 1,
      tracks: [],
      joined_at: this.#counter,
    };
    const seat: Seat = {
      participant,
      token: `token-${this.parent === null ? "" : this.name}${id}`,
      sent: [],
      next: 1,
      received: 0,
      socket,
    };
    this.#toAll({ type: "participant_joined", participant });
    this.seats.push(seat);
    this.#push(seat, this.#joined(seat));
  }

  #resume(socket: FakeSocket, hello: Extract<Hello, { type: "resume" }>): void {
    const seat = this.seats.find(({ token }) => token === hello.token);
    if (!seat) return socket.refuse("resume_expired", "Too late.");
    const before = seat.socket;
    seat.socket = null;
    before?.refuse("already_joined", "You have gone on over another connection.");
    if (hello.last === undefined || hello.last === null || seat.received === -1) {
      const reloaded = hello.last === undefined || hello.last === null;
      const epoch = seat.participant.epoch + 1;
      this.#change(seat, { state: "here", ...(reloaded ? { epoch, media: hello.media } : {}) });
      Object.assign(seat, { sent: [], next: 1, received: 0, socket });
      this.#push(seat, this.#joined(seat));
      return;
    }
    seat.socket = socket;
    socket.deliver({ type: "resumed", received: seat.received });
    for (const event of seat.sent) {
      if (event.n > hello.last) socket.deliver(event);
    }
    this.#change(seat, { state: "here" });
  }

  #seen(): Seen {
    const present = this.seats.filter(({ participant }) => participant.state !== "ringing");
    const door = present.length === 0 ? "empty" : this.locked ? "locked" : this.entry;
    const shown = door === "open" ? present : [];
    return { door, participants: shown.length, names: shown.slice(0, 5).map(({ participant }) => participant.name) };
  }

  #joined(seat: Seat): Event {
    const joined: Joined = {
      you: seat.participant.id,
      resume_token: seat.token,
      resume_ms: 30_000,
      room: this.room,
      participants: this.seats.map(({ participant }) => participant),
      ice_servers: this.iceServers,
      limits: this.limits,
    };
    return { type: "joined", ...joined };
  }

  #request(socket: FakeSocket, frame: Framed): void {
    const seat = this.seats.find((each) => each.socket === socket);
    if (!seat) return socket.refuse("not_joined", "Join first.");
    if (frame.id <= seat.received) return;
    if (frame.id !== seat.received + 1) {
      socket.deliver({ type: "refused", reason: "out_of_order", detail: "A number is missing.", fatal: false });
      return;
    }
    seat.received = frame.id;
    const refused = this.refuse.get(frame.type) ?? this.#carryOut(seat, frame);
    if (refused) this.#push(seat, { type: "reply", to: frame.id, outcome: "refused", reason: refused, detail: "No." });
    else this.#push(seat, { type: "reply", to: frame.id, outcome: "ok" });
    if (frame.type === "leave") this.remove(seat.participant.id, "left");
    if (frame.type === "end" && !refused)
      for (const { participant } of [...this.seats]) this.remove(participant.id, "ended");
  }

  #carryOut(seat: Seat, frame: Framed): Reason | null {
    const from = seat.participant.id;
    const only = ["accept", "decline", "lock", "remove", "hand_over", "end"];
    if (only.includes(frame.type) && from !== this.host) return "not_host";
    const target =
      "to" in frame && frame.to && frame.type !== "move"
        ? this.seats.find(({ participant }) => participant.id === frame.to)
        : null;
    if (target === undefined) return "no_such_participant";
    switch (frame.type) {
      case "offer":
      case "answer":
      case "candidate":
        if (!target) return "no_such_participant";
        if (target.participant.epoch !== frame.epoch) return "stale_epoch";
        if (frame.type === "candidate") this.#push(target, { type: "candidate", from, candidate: frame.candidate });
        else this.#push(target, { type: frame.type, from, sdp: frame.sdp });
        return null;
      case "chat": {
        const event: Event = { type: "chat", from, text: frame.text, at: 7, private: target !== null };
        this.#toAll(event, target ?? undefined, seat);
        return null;
      }
      case "message":
        this.#toAll({ type: "message", from, data: frame.data }, target ?? undefined, seat);
        return null;
      case "media":
        this.#change(seat, { media: frame.media });
        return null;
      case "rename":
        this.#change(seat, { name: frame.name });
        return null;
      case "ice_servers":
        this.#push(seat, { type: "ice_servers", ice_servers: this.iceServers });
        return null;
      case "newcomers":
        this.watchOnly = frame.watch_only;
        this.#toAll({ type: "room_changed", room: this.room });
        return null;
      case "permit": {
        const { media } = this.seat(frame.participant).participant;
        this.#change(this.seat(frame.participant), { may: frame.may, media: within(media, frame.may.publish) });
        return null;
      }
      case "caption": {
        const { line, text, done, language } = frame;
        for (const { participant, socket } of this.seats)
          if (participant.id !== from) socket?.deliver({ type: "caption", from, line, text, done, language });
        return null;
      }
      case "move": {
        const event: Event = { type: "moved", room: frame.to, pass: `pass-${frame.participant}` };
        this.#push(this.seat(frame.participant), event);
        queueMicrotask(() => this.remove(frame.participant, "moved"));
        return null;
      }
      case "accept":
        this.#counter += 1;
        this.#change(this.seat(frame.participant), { state: "here", joined_at: this.#counter });
        return null;
      case "decline":
        this.remove(frame.participant, "declined");
        return null;
      case "remove":
        this.remove(frame.participant, "removed");
        return null;
      case "lock":
        this.locked = frame.locked;
        this.#toAll({ type: "room_changed", room: this.room });
        return null;
      case "hand_over":
        this.host = frame.to;
        this.#toAll({ type: "room_changed", room: this.room });
        return null;
      default:
        return null;
    }
  }

  #change(seat: Seat, change: Partial<Participant>): void {
    seat.participant = { ...seat.participant, ...change };
    this.#toAll({ type: "participant_changed", participant: seat.participant });
  }

  #toAll(event: Event, only?: Seat, except?: Seat): void {
    for (const seat of only ? [only] : this.seats) if (seat !== except) this.#push(seat, event);
  }

  #push(seat: Seat, event: Event): void {
    const numbered: Numbered = { n: seat.next, ...event };
    seat.next += 1;
    seat.sent.push(numbered);
    seat.socket?.deliver(numbered);
  }
}

export const WATCH_ONLY: Permissions = {
  publish: { audio: false, video: false, screen: false },
  subscribe: true,
  data: true,
  admin: false,
};

function within(media: Participant["media"], bound: Participant["media"]): Participant["media"] {
  return {
    audio: media.audio && bound.audio,
    video: media.video && bound.video,
    screen: media.screen && bound.screen,
  };
}

/** One end of a socket whose other end is the server above. Everything is delivered in microtasks, in order. */
export class FakeSocket {
  onopen: (() => void) | null = null;
  onmessage: ((message: { data: string }) => void) | null = null;
  onclose: (() => void) | null = null;
  onerror: (() => void) | null = null;
  readyState = 0;
  server: FakeServer;

  constructor(server: FakeServer) {
    this.server = server;
    queueMicrotask(() => {
      if (this.readyState !== 0) return;
      if (!server.reachable) return this.drop();
      this.readyState = 1;
      server.sockets.add(this);
      this.onopen?.();
    });
  }

  send(text: string): void {
    queueMicrotask(() => {
      if (this.readyState === 1 || this.readyState === 2) this.server.handle(this, JSON.parse(text));
    });
  }

  close(): void {
    if (this.readyState >= 2) return;
    this.readyState = 2;
    queueMicrotask(() => {
      this.readyState = 3;
      this.server.lost(this);
    });
  }

  deliver(frame: Numbered | Note): void {
    const data = JSON.stringify(frame);
    queueMicrotask(() => {
      if (this.readyState === 1) this.onmessage?.({ data });
    });
  }

  refuse(reason: Reason, detail: string): void {
    this.deliver({ type: "refused", reason, detail, fatal: true });
    queueMicrotask(() => this.drop());
  }

  /** The network is gone. */
  drop(): void {
    if (this.readyState === 3) return;
    this.readyState = 3;
    queueMicrotask(() => this.onclose?.());
    this.server.lost(this);
  }
}
