// Does every way to the relay work from here? Each way has one connection, which is closed as soon as it has an address at
// the relay: the server holds no more for us than it must. The first two that work are each other's other end, so that
// something is relayed, too; nothing leaves the page but what goes to the relay.
import type { TurnIceServer } from "../../generated/turn.ts";

export type WayName = "stun" | "udp" | "tcp" | "tls" | "https";

export interface Way {
  readonly name: WayName;
  readonly url: string;
}

export type Result =
  | { readonly state: "waiting" }
  | { readonly state: "running" }
  | { readonly state: "works"; readonly reached: number }
  | { readonly state: "fails"; readonly why: Why };

/** Nothing comes back; the credential is refused. */
export type Why = "blocked" | "refused";

/** Whether what is relayed arrives. That takes two ways that work. */
export type Relayed =
  | { readonly state: "waiting" }
  | { readonly state: "running" }
  | { readonly state: "works"; readonly roundTrip: number; readonly between: readonly [WayName, WayName] }
  | { readonly state: "fails" };

export type Verdict = "all" | "no-udp" | "only-tls" | "only-https" | "some" | "refused" | "silent" | "none";

/** The ways among these servers, in the order a browser prefers them. */
export function ways(servers: readonly TurnIceServer[], pagePort: string): Way[] {
  const urls = servers.flatMap((server) => server.urls);
  const first = (test: (url: string) => boolean): string | undefined => urls.find(test);
  const isTls = (url: string): boolean => url.startsWith("turns:");
  const port = (url: string): string => /:(\d+)(\?|$)/.exec(url)?.[1] ?? "";
  const found: Record<WayName, string | undefined> = {
    stun: first((url) => url.startsWith("stun:")),
    udp: first((url) => url.startsWith("turn:") && !url.includes("transport=tcp")),
    tcp: first((url) => url.startsWith("turn:") && url.includes("transport=tcp")),
    tls: first((url) => isTls(url) && port(url) !== pagePort),
    https: first((url) => isTls(url) && port(url) === pagePort),
  };
  const names: readonly WayName[] = ["stun", "udp", "tcp", "tls", "https"];
  return names.flatMap((name) => {
    const url = found[name];
    return url === undefined ? [] : [{ name, url }];
  });
}

/** What all results together mean for a call. */
export function verdict(
  results: readonly { readonly name: WayName; readonly result: Result }[],
  relayed: Relayed,
): Verdict {
  const works = (name: WayName): boolean => results.some((one) => one.name === name && one.result.state === "works");
  const failed = results.flatMap(({ result }) => (result.state === "fails" ? [result.why] : []));
  if (failed.includes("refused")) return "refused";
  if (relayed.state === "fails") return "silent";
  if (failed.length === 0) return "all";
  if (works("udp")) return "some";
  if (works("tcp")) return "no-udp";
  if (works("tls")) return "only-tls";
  if (works("https")) return "only-https";
  return "none";
}

export interface Trial {
  readonly ways: readonly Way[];
  /** Who we are at the relay. */
  readonly login: TurnIceServer | undefined;
  /** Ends it. */
  readonly signal: AbortSignal;
  readonly onway: (way: Way, result: Result) => void;
  readonly onrelayed: (relayed: Relayed) => void;
}

export type Connect = (configuration: RTCConfiguration) => RTCPeerConnection;

const PATIENCE_MS = 12_000;

/** Tries one way after the other. However it ends, no connection is left. */
export async function tryWays(
  { ways, login, signal, onway, onrelayed }: Trial,
  connect: Connect = (configuration) => new RTCPeerConnection(configuration),
): Promise<void> {
  const open = new Set<End>();
  const close = (end: End): void => {
    open.delete(end);
    end.connection.close();
  };
  /** The first way that relays waits for the second. */
  let first: End | undefined;
  let isPaired = false;
  try {
    for (const way of ways) {
      onway(way, { state: "running" });
      const offering = isPaired || way.name === "stun" ? undefined : first;
      const end = begin(connect(configuration(way, login)), way);
      open.add(end);
      const result = await reach(end, offering, patience(signal));
      if (signal.aborted) return;
      onway(way, result);
      if (result.state === "works" && offering !== undefined) {
        isPaired = true;
        onrelayed({ state: "running" });
        const relayed = await talk(offering, end, patience(signal));
        if (signal.aborted) return;
        onrelayed(relayed);
        close(offering);
      } else if (result.state === "works" && way.name !== "stun" && first === undefined) {
        first = end;
        continue;
      }
      close(end);
    }
  } finally {
    open.forEach(close);
  }
}

function patience(signal: AbortSignal): AbortSignal {
  return AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)]);
}

function configuration({ name, url }: Way, login: TurnIceServer | undefined): RTCConfiguration {
  if (name === "stun") return { iceServers: [{ urls: url }] };
  const server = { urls: url, username: login?.username ?? "", credential: login?.credential ?? "" };
  return { iceServers: [server], iceTransportPolicy: "relay" };
}

/** The one connection of a way. */
interface End {
  readonly way: Way;
  readonly connection: RTCPeerConnection;
  /** What it has found so far. */
  readonly candidates: RTCIceCandidate[];
  channel: RTCDataChannel | undefined;
}

function begin(connection: RTCPeerConnection, way: Way): End {
  const candidates: RTCIceCandidate[] = [];
  connection.addEventListener("icecandidate", ({ candidate }) => {
    if (candidate !== null) candidates.push(candidate);
  });
  connection.addEventListener("datachannel", ({ channel }) => {
    channel.addEventListener("message", ({ data }) => channel.send(data as string));
  });
  return { way, connection, candidates, channel: undefined };
}

/** Has it look for its address; in answer to another one, if there is one that waits. */
async function reach(end: End, offering: End | undefined, limit: AbortSignal): Promise<Result> {
  const { connection, way } = end;
  const isStun = way.name === "stun";
  const gathered = gather(connection, isStun ? "srflx" : "relay", limit);
  try {
    const offer = offering?.connection.localDescription ?? null;
    if (offer === null) end.channel = connection.createDataChannel("check");
    else await connection.setRemoteDescription(offer);
    await connection.setLocalDescription();
  } catch {
    return { state: "fails", why: "blocked" };
  }
  const { at, found, failed } = await gathered;
  // Where there is no NAT, STUN's answer brings nothing that was not known: that there was one is all that counts.
  const works = found || (isStun && failed === undefined);
  return works
    ? { state: "works", reached: at }
    : { state: "fails", why: failed === 401 || failed === 486 ? "refused" : "blocked" };
}

/** Something goes from one to the other through the relay, and comes back. */
async function talk(first: End, second: End, limit: AbortSignal): Promise<Relayed> {
  const { channel, connection } = first;
  const answer = second.connection.localDescription;
  if (channel === undefined || answer === null) return { state: "fails" };
  try {
    await connection.setRemoteDescription(answer);
  } catch {
    return { state: "fails" };
  }
  tell(first, second);
  tell(second, first);
  const roundTrip = await echo(channel, limit);
  const between = [first.way.name, second.way.name] as const;
  return roundTrip === null ? { state: "fails" } : { state: "works", roundTrip, between };
}

/** What one has found and will find. */
function tell(from: End, to: End): void {
  const add = (candidate: RTCIceCandidate): void =>
    void to.connection.addIceCandidate(candidate).catch(() => undefined);
  from.candidates.forEach(add);
  from.connection.addEventListener("icecandidate", ({ candidate }) => {
    if (candidate !== null) add(candidate);
  });
}

interface Gathered {
  /** After how many milliseconds. */
  readonly at: number;
  readonly found: boolean;
  /** The code of the last error: 701 where there was no answer. */
  readonly failed: number | undefined;
}

function gather(connection: RTCPeerConnection, wanted: RTCIceCandidateType, limit: AbortSignal): Promise<Gathered> {
  const start = performance.now();
  return new Promise((done) => {
    let failed: number | undefined;
    const end = (found: boolean, why = failed): void =>
      done({ at: performance.now() - start, found, failed: found ? undefined : why });
    connection.addEventListener("icecandidateerror", ({ errorCode }) => (failed = errorCode));
    connection.addEventListener("icecandidate", ({ candidate }) => {
      if (candidate?.type === wanted) end(true);
    });
    connection.addEventListener("icegatheringstatechange", () => {
      if (connection.iceGatheringState === "complete") end(false);
    });
    limit.addEventListener("abort", () => end(false, failed ?? 701));
  });
}

/** Milliseconds there and back; `null`: nothing came back in time. */
function echo(channel: RTCDataChannel, limit: AbortSignal): Promise<number | null> {
  return new Promise((done) => {
    let sent = 0;
    const send = (): void => {
      sent = performance.now();
      channel.send("there and back");
    };
    channel.addEventListener("message", () => done(performance.now() - sent));
    limit.addEventListener("abort", () => done(null));
    if (channel.readyState === "open") send();
    else channel.addEventListener("open", send);
  });
}
