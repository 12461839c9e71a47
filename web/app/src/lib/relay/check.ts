// Does every way to the relay work from here? Two connections of this page talk to each other through the relay, by one
// way at a time; nothing of it leaves the page but what goes to the relay.
import type { TurnIceServer } from "../../generated/turn.ts";

export type WayName = "stun" | "udp" | "tcp" | "tls" | "https";

export interface Way {
  readonly name: WayName;
  readonly url: string;
}

export type Result =
  | { readonly state: "waiting" }
  | { readonly state: "running" }
  /** `roundTrip` is missing where nothing is relayed. */
  | { readonly state: "works"; readonly reached: number; readonly roundTrip: number | undefined }
  | { readonly state: "fails"; readonly why: Why };

/** Nothing comes back; the credential is refused; reached, but what is relayed does not arrive. */
export type Why = "blocked" | "refused" | "silent";

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
export function verdict(results: readonly { readonly name: WayName; readonly result: Result }[]): Verdict {
  const works = (name: WayName): boolean => results.some((one) => one.name === name && one.result.state === "works");
  const failed = results.flatMap(({ result }) => (result.state === "fails" ? [result.why] : []));
  if (failed.length === 0) return "all";
  if (failed.includes("refused")) return "refused";
  if (works("udp")) return "some";
  if (works("tcp")) return "no-udp";
  if (works("tls")) return "only-tls";
  if (works("https")) return "only-https";
  return failed.includes("silent") ? "silent" : "none";
}

const PATIENCE_MS = 12_000;

/** Tries one way. */
export async function tryWay(way: Way, login: TurnIceServer | undefined, signal: AbortSignal): Promise<Result> {
  const limit = AbortSignal.any([signal, AbortSignal.timeout(PATIENCE_MS)]);
  return way.name === "stun" ? tryStun(way.url, limit) : tryRelay(way.url, login, limit);
}

async function tryStun(url: string, limit: AbortSignal): Promise<Result> {
  const connection = new RTCPeerConnection({ iceServers: [{ urls: url }] });
  try {
    const gathered = gather(connection, (candidate) => candidate.type === "srflx", limit);
    connection.createDataChannel("check");
    await connection.setLocalDescription();
    const { at, failed } = await gathered;
    // Where there is no NAT the answer brings nothing that was not known: that there was one is all that counts.
    return failed !== undefined
      ? { state: "fails", why: "blocked" }
      : { state: "works", reached: at, roundTrip: undefined };
  } finally {
    connection.close();
  }
}

async function tryRelay(url: string, login: TurnIceServer | undefined, limit: AbortSignal): Promise<Result> {
  const server = { urls: url, username: login?.username ?? "", credential: login?.credential ?? "" };
  const pair = [0, 1].map(() => new RTCPeerConnection({ iceServers: [server], iceTransportPolicy: "relay" }));
  const [caller, callee] = pair;
  if (caller === undefined || callee === undefined) return { state: "fails", why: "blocked" };
  try {
    const channel = caller.createDataChannel("check");
    callee.addEventListener("datachannel", ({ channel: echo }) => {
      echo.addEventListener("message", ({ data }) => echo.send(data as string));
    });
    let describedNow = (): void => undefined;
    const described = new Promise<void>((done) => (describedNow = done));
    trickle(caller, callee, described);
    trickle(callee, caller, described);
    const gathered = gather(caller, (candidate) => candidate.type === "relay", limit);
    await caller.setLocalDescription();
    if (caller.localDescription !== null) await callee.setRemoteDescription(caller.localDescription);
    await callee.setLocalDescription();
    if (callee.localDescription !== null) await caller.setRemoteDescription(callee.localDescription);
    describedNow();
    const { at, found, failed } = await gathered;
    if (!found) return { state: "fails", why: failed === 401 || failed === 486 ? "refused" : "blocked" };
    const roundTrip = await echo(channel, limit);
    return roundTrip === null ? { state: "fails", why: "silent" } : { state: "works", reached: at, roundTrip };
  } finally {
    pair.forEach((connection) => connection.close());
  }
}

/** A candidate that comes before the descriptions waits for them. */
function trickle(from: RTCPeerConnection, to: RTCPeerConnection, described: Promise<unknown>): void {
  from.addEventListener("icecandidate", ({ candidate }) => {
    if (candidate !== null) described.then(() => to.addIceCandidate(candidate)).catch(() => undefined);
  });
}

interface Gathered {
  /** After how many milliseconds. */
  readonly at: number;
  readonly found: boolean;
  /** The code of the last error: 701 where there was no answer. */
  readonly failed: number | undefined;
}

function gather(
  connection: RTCPeerConnection,
  wanted: (candidate: RTCIceCandidate) => boolean,
  limit: AbortSignal,
): Promise<Gathered> {
  const start = performance.now();
  return new Promise((done) => {
    let failed: number | undefined;
    const end = (found: boolean, why = failed): void =>
      done({ at: performance.now() - start, found, failed: found ? undefined : why });
    connection.addEventListener("icecandidateerror", ({ errorCode }) => (failed = errorCode));
    connection.addEventListener("icecandidate", ({ candidate }) => {
      if (candidate !== null && wanted(candidate)) end(true);
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
