// A call: puts session, mesh, media, chat and files together, and is what `types.ts` promises. Decides little itself.
//
// Size: everything meets here, each part with its port; what can be decided apart from the others is in files of its own.
import { Asks } from "./asks";
import { Captions } from "./captions";
import { Chat } from "./chat";
import { Data } from "./data";
import { browserDeps, type Deps } from "./deps";
import { errorReason } from "./ending";
import { CallError, quiet } from "./errors";
import { Emitter } from "./emitter";
import { openEncryption, type CallEncryption } from "./encryption/call";
import { Files } from "./files/files";
import { LaneWay } from "./files/way";
import type { IceServer, Join, Joined, Media, Participant, Permissions, Room, Source } from "./generated";
import { Link } from "./link";
import { isOfFile, Messages } from "./messages";
import { LocalMedia } from "./media/local";
import { Mesh } from "./peer/mesh";
import { Lanes } from "./plane/lanes";
import { Passage } from "./plane/passage";
import { Plane } from "./plane/plane";
import { PlaceKeeper } from "./place";
import { ALL, decides, floorBetween, isAny, mayOf, sameMedia } from "./rights";
import { Speakers } from "./speakers";
import { enter, find, follow, readersOf, type Roster, type Step } from "./roster";
import { Session, type Entrance, type PassingNote, type Request, type RoomEvent } from "./session";
import { transportsTo } from "./transport/all";
import type {
  Bandwidth,
  Call,
  CallEvents,
  CallState,
  CameraCodec,
  Caption,
  ChatLine,
  EndReason,
  FileTransfer,
  JoinOptions,
  Local,
  Notice,
  Peer,
} from "./types";
import { parseControl } from "./wire";

/** `deps` replaces parts of the browser, for tests and for unusual hosts. */
export function createCall(deps: Partial<Deps> = {}): Call {
  return new TandemCall({ ...browserDeps(), ...deps });
}

/** What exists from `join` to the end, and not a moment longer. */
interface Visit {
  options: JoinOptions;
  session: Session;
  link: Link;
  place: PlaceKeeper;
  /** What the next `join` asks for: the room of the options, or the one to which we were sent. */
  door: { room: string; token: string | null };
  moving: boolean;
  /** Where the call has a key. */
  encryption: CallEncryption | null;
  messages: { data: Messages; files: Messages };
  stops: (() => void)[];
  iceAt: number;
  lostAt: number | null;
  /** What the server was told last. */
  told: Media | null;
  entered(): void;
  refused(error: CallError): void;
}

class TandemCall extends Asks implements Call {
  #deps: Deps;
  #events = new Emitter<CallEvents>();
  #state: CallState = { state: "idle" };
  #visit: Visit | null = null;
  #roster: Roster | null = null;
  #frameAsked = false;
  #media: LocalMedia;
  #mesh: Mesh;
  #plane: Plane;
  #lanes: Lanes;
  #data: Data;
  #passage: Passage;
  #chat: Chat;
  #captions: Captions;
  #files: Files;
  #speakers = new Speakers();
  #bandwidth: Bandwidth = "full";

  constructor(deps: Deps) {
    super();
    this.#deps = deps;
    const changed = (): void => this.#changed();
    const request = (frame: Request): Promise<void> => this.ask(frame);
    const self = (): Self | null => this.#self();
    const nameOf = (id: string): string | null => (this.#roster && find(this.#roster, id)?.name) ?? null;
    this.#media = new LocalMedia(deps, {
      changed: () => this.#onMedia(),
      notice: (notice) => this.#events.emit("notice", notice),
    });
    this.#lanes = new Lanes(deps.timers, {
      message: (from, kind, payload, reliable) => this.#onLane(from, kind, payload, reliable),
      changed: () => {
        if (!this.#lanes.isOpen) this.#files.keepLanes([]);
        changed();
      },
    });
    this.#data = new Data({
      readers: () => this.#readers(),
      isDirect: (peer) => this.#mesh.isDirect(peer),
      sendDirect: (peer, message) => this.#mesh.sendControl(peer, message),
      sendLane: (to, kind, payload, reliable) => this.#lanes.send(to, kind, payload, reliable),
      room: () => this.#lanes.room(),
      messages: () => this.#visit?.messages.data ?? CLOSED,
      received: (message) => this.#events.emit("data", message),
    });
    this.#files = new Files({
      random: deps.random,
      timers: deps.timers,
      messages: () => this.#visit?.messages.files ?? CLOSED,
      lane: (peer) => (this.#readers().includes(peer) ? new LaneWay(this.#lanes, peer) : null),
      changed,
    });
    this.#mesh = new Mesh(deps, {
      request,
      changed,
      control: (from, text) => this.#onControl(from, text),
      filesChannel: (peer, channel) => this.#files.attach(peer, channel),
      peerClosed: (peer) => this.#files.detach(peer),
      beforeRestart: () => this.#refreshIce(),
    });
    this.#plane = new Plane(deps, this.#lanes, {
      request,
      changed: () => {
        this.#passage.look();
        changed();
      },
      beforeRestart: () => this.#refreshIce(),
    });
    this.#passage = new Passage(deps.timers, this.#mesh, this.#plane);
    this.#captions = new Captions(deps.timers.now, {
      self,
      nameOf,
      sealer: () => this.#visit?.encryption?.captions ?? null,
      request,
      changed,
    });
    this.#chat = new Chat(deps, {
      self,
      nameOf,
      readers: () => this.#readers(),
      isClassic: (id) => (this.#roster && find(this.#roster, id)?.client) === "classic",
      isDirect: (peer) => this.#mesh.isDirect(peer),
      sendDirect: (peer, text) => this.#mesh.sendControl(peer, text),
      sealer: () => this.#visit?.encryption?.chat ?? null,
      request,
      said: (line) => {
        this.#events.emit("chat", line);
        changed();
      },
    });
  }

  get state(): CallState {
    return this.#state;
  }
  get room(): Room | null {
    return this.#roster?.room ?? null;
  }
  get me(): Participant | null {
    return this.#roster && find(this.#roster, this.#roster.you);
  }
  get isHost(): boolean {
    return this.#roster !== null && this.#roster.room.host === this.#roster.you;
  }
  get canHost(): boolean {
    return decides(this.me, this.room);
  }
  get may(): Permissions {
    return mayOf(this.me);
  }
  get moving(): boolean {
    return this.#visit?.moving === true;
  }
  get peers(): readonly Peer[] {
    return this.#mesh.views;
  }
  get chat(): readonly ChatLine[] {
    return this.#chat.lines;
  }
  get captions(): readonly Caption[] {
    return this.#captions.lines;
  }
  get files(): readonly FileTransfer[] {
    return this.#files.transfers;
  }
  get local(): Local {
    return this.#media.view;
  }
  get encryption(): "off" | "on" {
    return this.#visit?.encryption ? "on" : "off";
  }
  get meshFull(): boolean {
    return this.#mesh.full;
  }
  get canForward(): boolean {
    return this.#roster?.limits.sfu === true;
  }
  get speakers(): readonly string[] {
    return this.#speakers.recent;
  }
  get bandwidth(): Bandwidth {
    return this.#bandwidth;
  }

  on<K extends keyof CallEvents>(event: K, listener: (value: CallEvents[K]) => void): () => void {
    return this.#events.on(event, listener);
  }

  join(options: JoinOptions): Promise<void> {
    if (this.#visit) return Promise.reject(new CallError("misuse", "This call has begun already; leave it first."));
    const { microphone = null, camera = null, signal } = options;
    let encryption: CallEncryption | null;
    try {
      encryption = openEncryption(options.key, this.#deps.createCipherWorker, () => this.#onReadable());
    } catch (error) {
      return Promise.reject(error instanceof Error ? error : new Error(String(error)));
    }
    this.#chat.clear();
    this.#captions.clear();
    this.#files.clear();
    this.#roster = null;
    this.#speakers.clear();
    this.#media.allow(ALL);
    this.#media.microphone.keepOpen = options.watchWhileMuted === true;
    this.#media.microphone.adopt(microphone);
    this.#media.camera.adopt(camera);
    return new Promise<void>((resolve, reject) => {
      const visit = this.#begin(options, encryption, resolve, reject);
      this.#visit = visit;
      this.#setState({ state: "joining" });
      if (signal?.aborted) this.#finish("aborted", "The call was given up before it began.");
      // A listener of the new state may have left already.
      else if (this.#visit === visit) visit.link.start();
    });
  }

  async leave(): Promise<void> {
    const visit = this.#visit;
    if (!visit) return;
    const said = visit.session.live ? visit.session.request({ type: "leave" }) : Promise.resolve();
    quiet(said);
    const entered = this.#state.state === "joined" || this.#state.state === "reconnecting";
    this.#finish(entered ? "left" : "aborted", "");
  }

  async setMicrophone(on: boolean, deviceId?: string): Promise<void> {
    this.#mustBeIn();
    await this.#media.switch("microphone", on, deviceId);
  }

  async setCamera(on: boolean, deviceId?: string): Promise<void> {
    this.#mustBeIn();
    await this.#media.switch("camera", on, deviceId);
  }

  async shareScreen(content: "detail" | "motion"): Promise<void> {
    this.#mustBeIn();
    await this.#media.share(content);
  }

  async stopScreen(): Promise<void> {
    this.#media.screen.stop();
  }

  say(text: string, to?: string): Promise<void> {
    return this.#chat.say(text, to);
  }

  send(data: string | Uint8Array, { to, reliable = true }: { to?: string; reliable?: boolean } = {}): Promise<void> {
    if (!this.#self()) return Promise.reject(new CallError("not_joined", "You are not in a call."));
    return this.#data.send(data, to, reliable);
  }

  offerFile(file: File, to: string): string {
    return this.#files.offer(file, to);
  }
  acceptFile(id: string): void {
    this.#files.accept(id);
  }
  declineFile(id: string): void {
    this.#files.decline(id);
  }
  cancelFile(id: string): void {
    this.#files.cancel(id);
  }

  moveTo(to: string, participant = this.me?.id ?? "", from?: string): Promise<void> {
    return this.ask({ type: "move", participant, to, ...(from !== undefined && { from }) });
  }
  caption(line: number, text: string, done: boolean, language: string): Promise<void> {
    return this.#captions.say(line, text, done, language);
  }
  setBandwidth(bandwidth: Bandwidth): void {
    this.#bandwidth = bandwidth;
    this.#mesh.setBandwidth(bandwidth);
    this.#plane.setBandwidth(bandwidth);
    this.#changed();
  }
  setCameraCodec(codec: CameraCodec | null): void {
    this.#mesh.setCameraCodec(codec);
    this.#plane.setCameraCodec(codec);
  }
  showing(participant: string, source: "camera" | "screen", height: number | null): void {
    this.#plane.setHeight(`${participant}:${source}`, height);
  }

  // ── beginning and end ──

  #begin(
    options: JoinOptions,
    encryption: CallEncryption | null,
    entered: () => void,
    refused: (error: CallError) => void,
  ): Visit {
    const { room, name, hideAddress = false, entry = "open" } = options;
    const server = options.server ?? this.#deps.origin;
    const place = this.#placeIn(options, room);
    this.#mesh.setHideAddress(hideAddress);
    this.#mesh.setEncryption(encryption?.media ?? null);
    this.#plane.setEncryption(encryption?.media ?? null);
    this.setCameraCodec(options.cameraCodec ?? null);
    const door: Visit["door"] = { room, token: options.token ?? null };
    const join = (): Join => ({
      ...(this.#visit?.door ?? door),
      name: this.me?.name ?? name,
      hide_address: hideAddress,
      media: this.#media.flags,
      entry,
      encrypted: encryption !== null,
    });
    const session: Session = new Session(
      { join, place: place.take(), media: () => this.#media.flags },
      {
        send: (frame) => link.send(frame),
        joined: (joined, how) => this.#onJoined(joined, how),
        resumed: () => this.#onResumed(),
        event: (event) => this.#onEvent(event),
        note: (note) => this.#onNote(note),
        draining: (reconnectMs) => {
          link.expectRestart(reconnectMs);
          this.#events.emit("notice", { kind: "draining" });
        },
        reopen: (patience) => link.reopen(patience),
        closed: (reason, detail) => this.#finish(reason, detail),
      },
    );
    const now = (): number => this.#deps.timers.now();
    const link = new Link(
      {
        timers: this.#deps.timers,
        chance: () => (this.#deps.random(1)[0] ?? 0) / 256,
        onWake: this.#deps.onWake,
        transports: transportsTo(server, options.transport ?? "auto", this.#deps),
      },
      {
        open: () => session.handleOpen(),
        frame: (frame) => session.handleFrame(now(), frame),
        lost: () => session.handleLost(now()),
        retrying: (attempt) => this.#onRetrying(attempt),
      },
    );
    const stops = this.#watch(options, session);
    const me = (): string => this.me?.id ?? "";
    const messages = {
      data: new Messages(encryption?.data ?? null, me),
      files: new Messages(encryption?.files ?? null, me),
    };
    return {
      options,
      session,
      link,
      place,
      door,
      moving: false,
      encryption,
      messages,
      stops,
      iceAt: 0,
      lostAt: now(),
      told: null,
      entered,
      refused,
    };
  }

  /** Everything that runs beside the session, and how to stop it. */
  #watch(options: JoinOptions, session: Session): (() => void)[] {
    const { timers, onWake, onPageHide } = this.#deps;
    const onAbort = (): void => {
      if (this.#state.state === "joining" || this.#state.state === "ringing") quiet(this.leave());
    };
    options.signal?.addEventListener("abort", onAbort);
    return [
      () => options.signal?.removeEventListener("abort", onAbort),
      timers.every(ACK_EVERY_MS, () => session.acknowledge()),
      timers.every(LEVEL_EVERY_MS, () => {
        this.#plane.look();
        this.#passage.look();
        this.#mesh.sampleLevels();
        this.#followSpeech();
      }),
      timers.every(STATS_EVERY_MS, () => {
        this.#mesh.sampleStats();
        this.#plane.sampleStats();
      }),
      onWake(() => {
        this.#mesh.nudge();
        this.#plane.nudge();
      }),
      onPageHide(() => this.#visit?.place.keep(session.place)),
    ];
  }

  #placeIn({ server = this.#deps.origin, storage = this.#deps.storage, key }: JoinOptions, room: string): PlaceKeeper {
    return new PlaceKeeper(storage, server, room, key !== undefined);
  }

  /** The only way out of a visit. */
  #finish(reason: EndReason, detail: string): void {
    const visit = this.#visit;
    if (!visit) return;
    this.#visit = null;
    for (const stop of visit.stops) stop();
    visit.session.close(new CallError("not_joined", "The call is over."));
    visit.link.stop();
    visit.place.forget();
    this.#files.close();
    this.#mesh.close();
    this.#plane.forget();
    visit.encryption?.close();
    this.#media.close();
    this.#setState({ state: "ended", reason, detail });
    visit.refused(new CallError(errorReason(reason), detail === "" ? `The call has ended: ${reason}.` : detail));
  }

  // ── what the server says ──

  #onJoined(joined: Joined, how: Entrance): void {
    const visit = this.#visit;
    if (!visit) return;
    visit.link.confirm();
    this.#setIce(joined.ice_servers);
    // Entering anew after a long absence: whoever we knew is someone else now, and so are we.
    const anew = how === "new" && this.#roster !== null;
    const elsewhere = anew && this.#roster?.room.name !== joined.room.name;
    if (anew) this.#mesh.close();
    visit.moving = false;
    // A pass was good for once; and from a breakout room the way leads back through the room it belongs to.
    visit.door = { room: joined.room.parent ?? visit.options.room, token: visit.options.token ?? null };
    // Whoever has given us a new beginning knows nothing of the connection before.
    this.#plane.abandon();
    visit.told = joined.participants.find(({ id }) => id === joined.you)?.media ?? null;
    this.#step(enter(this.#roster, joined, how));
    if (how === "restored") this.#mesh.handleRestored();
    if (anew) this.#notify(elsewhere ? { kind: "moved", room: joined.room.name } : { kind: "rejoined" });
    this.#enterState();
    this.#tellMedia();
  }

  #onResumed(): void {
    const visit = this.#visit;
    if (!visit) return;
    visit.link.confirm();
    visit.lostAt = null;
    this.#enterState();
    this.#mesh.nudge();
    this.#plane.nudge();
  }

  #onEvent(event: RoomEvent): void {
    switch (event.type) {
      case "offer":
        return this.#mesh.handleOffer(event.from, event.sdp);
      case "answer":
        return this.#mesh.handleAnswer(event.from, event.sdp);
      case "candidate":
        return this.#mesh.handleCandidate(event.from, event.candidate);
      case "chat":
        return this.#chat.handleChat(event.from, event.text, event.at, event.private);
      case "message":
        return this.#chat.handleMessage(event.from, event.data);
      case "ice_servers":
        return this.#setIce(event.ice_servers);
      case "media_answer":
        return this.#plane.handleAnswer(event.sdp);
      case "media_ended":
        return this.#plane.handleLost();
      case "watched":
        return this.#plane.handleWatched(event.track, event.layers);
      case "muted":
        return this.#onMuted(event.by, event.source);
      case "participant_joined":
      case "participant_changed":
      case "participant_left":
      case "room_changed":
        if (this.#roster) this.#step(follow(this.#roster, event));
        return this.#enterState();
      case "moved":
        return this.#onMoved(event.room, event.pass);
      case "out":
      // The session reports the end itself.
    }
  }

  /** The session enters there by itself; the devices stay as they are. */
  #onMoved(room: string, pass: string): void {
    const visit = this.#visit;
    if (!visit) return;
    visit.place.forget();
    visit.place = this.#placeIn(visit.options, room);
    visit.door = { room, token: pass };
    visit.moving = true;
    visit.told = null;
    this.#mesh.close();
    this.#plane.abandon();
    this.#speakers.clear();
    this.#captions.clear();
    this.#changed();
  }

  #onNote(note: PassingNote): void {
    if (note.type === "layers") this.#plane.handleLayers(note.slots);
    else if (note.type === "caption") this.#captions.handle(note);
    else if (this.#speakers.handleServer(note.participants, this.#roster?.you ?? "")) this.#onSpeakers();
  }

  /** Where the server does not hear who speaks, we do. */
  #followSpeech(): void {
    const speaking = this.peers.filter((peer) => peer.speaking && !peer.forwarded).map(({ info }) => info.id);
    if (this.#speakers.handleHeard(speaking)) this.#onSpeakers();
  }

  #onSpeakers(): void {
    this.#plane.setSpeakers(this.#speakers.recent);
    this.#changed();
  }

  /** Whether what comes of somebody can be read may be different. */
  #onReadable(): void {
    this.#mesh.handleReadable();
    this.#passage.look();
    this.#changed();
  }

  #step({ roster, notices }: Step): void {
    const { given, taken } = floorBetween(this.#roster, roster);
    this.#roster = roster;
    this.#media.allow(this.may.publish);
    this.#speakers.keep(new Set(roster.participants.map(({ id }) => id)));
    this.#mesh.setRoster(roster);
    this.#plane.setRoster(roster);
    this.#files.keepLanes(this.#readers());
    this.#passage.look();
    for (const notice of notices) this.#notify(notice);
    if (isAny(given)) this.#notify({ kind: "floor_given", media: given });
    if (isAny(taken)) this.#notify({ kind: "floor_taken", media: taken });
    this.#changed();
  }

  #notify(notice: Notice): void {
    this.#events.emit("notice", notice);
  }

  /** Joined or ringing: the roster says which. */
  #enterState(): void {
    const visit = this.#visit;
    if (!visit?.session.live) return;
    visit.lostAt = null;
    const state = this.me?.state === "ringing" ? "ringing" : "joined";
    if (this.#state.state !== state) this.#setState({ state });
    if (state === "joined") visit.entered();
  }

  #onRetrying(attempt: number): void {
    const visit = this.#visit;
    if (!visit) return;
    const since = (visit.lostAt ??= this.#deps.timers.now());
    const entered = this.#roster !== null;
    const patience = entered ? GIVE_UP_MS : GIVE_UP_FIRST_MS;
    if (this.#deps.timers.now() - since >= patience) {
      this.#finish("unreachable", "The server cannot be reached.");
    } else if (entered) {
      this.#setState({ state: "reconnecting", since, attempt });
    }
  }

  // ── what we say ──

  protected ask(frame: Request): Promise<void> {
    const visit = this.#visit;
    if (!visit) return Promise.reject(new CallError("not_joined", "You are not in a call."));
    if (visit.moving) return Promise.reject(new CallError("aborted", "You are on the way to another room."));
    return visit.session.request(frame);
  }

  #mustBeIn(): void {
    if (!this.#visit) throw new CallError("not_joined", "You are not in a call.");
  }

  /** Only its owner turns it on again. */
  #onMuted(by: string, source: Source): void {
    if (source === "microphone") this.#media.microphone.switchOff();
    else if (source === "camera") this.#media.camera.switchOff();
    else this.#media.screen.stop();
    this.#notify({ kind: "muted", name: (this.#roster && find(this.#roster, by)?.name) ?? "", source });
  }

  #onMedia(): void {
    this.#mesh.setTracks(this.#media.tracks);
    this.#plane.setTracks(this.#media.tracks);
    this.#tellMedia();
    this.#changed();
  }

  /** The server counts what media there is. */
  #tellMedia(): void {
    const visit = this.#visit;
    const media = this.#media.flags;
    if (!visit?.told || sameMedia(visit.told, media)) return;
    visit.told = media;
    quiet(visit.session.request({ type: "media", media }));
  }

  #setIce(iceServers: IceServer[]): void {
    if (this.#visit) this.#visit.iceAt = this.#deps.timers.now();
    this.#mesh.setIceServers(iceServers);
    this.#plane.setIceServers(iceServers);
  }

  async #refreshIce(): Promise<void> {
    const visit = this.#visit;
    const now = this.#deps.timers.now();
    if (!visit?.session.live || now - visit.iceAt < ICE_FRESH_MS) return;
    visit.iceAt = now;
    await visit.session.request({ type: "ice_servers" });
  }

  // ── chat ──

  #self(): Self | null {
    const me = this.me;
    if (!me || !this.#roster || !this.#visit || me.state === "ringing") return null;
    return { id: me.id, name: me.name, chars: this.#roster.limits.chat_chars };
  }

  #readers(): readonly string[] {
    return this.#roster ? readersOf(this.#roster, this.encryption === "on") : [];
  }

  /** Files in one hand, what applications say in the other; of those who are in, and of nobody else. */
  #onLane(from: string, kind: number, payload: Uint8Array<ArrayBuffer>, reliable: boolean): void {
    if (!isOfFile(kind)) this.#data.handle(from, kind, payload, reliable);
    else if (reliable && this.#readers().includes(from)) this.#files.handleLane(from, kind, payload);
  }

  #onControl(from: string, text: unknown): void {
    if (text instanceof ArrayBuffer) return this.#data.handleDirect(from, text);
    const value = parseControl(text);
    if (value) this.#chat.handleDirect(from, value);
  }

  // ── to the page ──

  #setState(state: CallState): void {
    this.#state = state;
    this.#events.emit("state", state);
    this.#changed();
  }

  #changed(): void {
    if (this.#frameAsked) return;
    this.#frameAsked = true;
    this.#deps.nextFrame(() => {
      this.#frameAsked = false;
      this.#events.emit("change", undefined);
    });
  }
}

type Self = { id: string; name: string; chars: number };

/** Outside a call nothing is said. */
const CLOSED = new Messages(null, () => "");

const ACK_EVERY_MS = 1_000;
const LEVEL_EVERY_MS = 200;
const STATS_EVERY_MS = 2_000;
/** How long a first connection is tried, and how long one that was lost. */
const GIVE_UP_FIRST_MS = 20_000;
const GIVE_UP_MS = 15 * 60_000;
const ICE_FRESH_MS = 60_000;
