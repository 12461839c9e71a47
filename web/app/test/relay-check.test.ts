import { expect, test } from "vitest";
import {
  tryWays,
  verdict,
  ways,
  type Relayed,
  type Result,
  type Trial,
  type Way,
  type WayName,
  type Why,
} from "../src/lib/relay/check.ts";

const servers = [
  { urls: ["stun:talk.example:3478"] },
  {
    urls: [
      "turn:talk.example:3478?transport=udp",
      "turn:talk.example:3478?transport=tcp",
      "turns:talk.example:5349?transport=tcp",
      "turns:talk.example:443?transport=tcp",
    ],
    username: "u",
    credential: "p",
  },
];

test("each way is found once, and the port of the page is a way of its own", () => {
  expect(ways(servers, "443").map(({ name }) => name)).toEqual(["stun", "udp", "tcp", "tls", "https"]);
  expect(ways(servers, "443")[4]?.url).toBe("turns:talk.example:443?transport=tcp");
  expect(ways(servers, "8443").map(({ name }) => name)).toEqual(["stun", "udp", "tcp", "tls"]);
  expect(ways([{ urls: ["stun:[::1]:3478"] }], "443")).toEqual([{ name: "stun", url: "stun:[::1]:3478" }]);
});

const works: Result = { state: "works", reached: 1 };
const arrives: Relayed = { state: "works", roundTrip: 1, between: ["udp", "tcp"] };
const waiting: Relayed = { state: "waiting" };
const fails = (why: Why): Result => ({ state: "fails", why });
const all = (results: Partial<Record<WayName, Result>>): { name: WayName; result: Result }[] =>
  (["stun", "udp", "tcp", "tls", "https"] as const).map((name) => ({
    name,
    result: results[name] ?? fails("blocked"),
  }));

test("all results together say what a call will meet", () => {
  const open = all({ stun: works, udp: works, tcp: works, tls: works, https: works });
  expect(verdict(open, arrives)).toBe("all");
  expect(verdict(open, { state: "fails" })).toBe("silent");
  expect(verdict(all({ stun: works, udp: works, tcp: works }), arrives)).toBe("some");
  expect(verdict(all({ tcp: works, tls: works, https: works }), arrives)).toBe("no-udp");
  expect(verdict(all({ tls: works, https: works }), arrives)).toBe("only-tls");
  expect(verdict(all({ https: works }), waiting)).toBe("only-https");
  expect(verdict(all({}), waiting)).toBe("none");
  expect(verdict(all({ udp: fails("refused"), tcp: fails("refused") }), waiting)).toBe("refused");
});

/** What happens to a connection by this URL. */
type Fate = "works" | "nothing" | "refused" | "broken";

/** Connections that gather without a network; two of them reach each other once each has the other's description. */
class World {
  readonly made: Connection[] = [];
  constructor(private readonly fate: (url: string) => Fate) {}

  readonly connect = (configuration: RTCConfiguration): RTCPeerConnection => {
    const url = String(configuration.iceServers?.[0]?.urls);
    const connection = new Connection(url, this.fate(url), this);
    this.made.push(connection);
    return connection as unknown as RTCPeerConnection;
  };

  get open(): string[] {
    return this.made.filter(({ closed }) => !closed).map(({ url }) => url);
  }
}

class Connection extends EventTarget {
  localDescription: { readonly of: Connection } | null = null;
  iceGatheringState = "new";
  closed = false;
  private other: Connection | null = null;
  private channel: EventTarget | null = null;
  private told = 0;

  constructor(
    readonly url: string,
    private readonly fate: Fate,
    private readonly world: World,
  ) {
    super();
  }

  createDataChannel(): EventTarget {
    this.channel = Object.assign(new EventTarget(), {
      readyState: "connecting",
      send: (data: string) => this.channel?.dispatchEvent(Object.assign(new Event("message"), { data })),
    });
    return this.channel;
  }

  setLocalDescription(): Promise<void> {
    if (this.fate === "broken") return Promise.reject(new Error("no"));
    this.localDescription = { of: this };
    setTimeout(() => {
      if (this.fate === "works") {
        const type = this.url.startsWith("stun:") ? "srflx" : "relay";
        this.dispatchEvent(Object.assign(new Event("icecandidate"), { candidate: { type } }));
        return;
      }
      this.dispatchEvent(
        Object.assign(new Event("icecandidateerror"), { errorCode: this.fate === "refused" ? 401 : 701 }),
      );
      this.iceGatheringState = "complete";
      this.dispatchEvent(new Event("icegatheringstatechange"));
    });
    return Promise.resolve();
  }

  setRemoteDescription({ of }: { of: Connection }): Promise<void> {
    this.other = of;
    return Promise.resolve();
  }

  addIceCandidate(): Promise<void> {
    this.told += 1;
    const { other } = this;
    if (this.channel !== null && other !== null && other.told > 0 && other.other === this) {
      Object.assign(this.channel, { readyState: "open" });
    }
    return Promise.resolve();
  }

  close(): void {
    expect(this.world.open).toContain(this.url);
    this.closed = true;
  }
}

async function tried(world: World, signal = new AbortController().signal): Promise<[Map<WayName, Result>, Relayed[]]> {
  const results = new Map<WayName, Result>();
  const relayed: Relayed[] = [];
  const trial: Trial = {
    ways: ways(servers, "443"),
    login: servers[1],
    signal,
    onway: ({ name }: Way, result) => {
      results.set(name, result);
      // The one that waits for another end, and the one that is tried.
      expect(world.open.length).toBeLessThanOrEqual(2);
    },
    onrelayed: (result) => relayed.push(result),
  };
  await tryWays(trial, world.connect);
  return [results, relayed];
}

const states = (results: Map<WayName, Result>): string[] => [...results.values()].map(({ state }) => state);

test("each way has one connection, the first two are each other's end, and none is left open", async () => {
  const world = new World(() => "works");
  const [results, relayed] = await tried(world);
  expect(states(results)).toEqual(["works", "works", "works", "works", "works"]);
  expect(relayed.map(({ state }) => state)).toEqual(["running", "works"]);
  expect(relayed[1]).toMatchObject({ between: ["udp", "tcp"] });
  expect(world.made.length).toBe(5);
  expect(world.open).toEqual([]);
});

test("a way that is closed is passed over, and the next that works is the other end", async () => {
  const world = new World((url) => (url.includes("3478?transport=tcp") ? "nothing" : "works"));
  const [results, relayed] = await tried(world);
  expect(results.get("tcp")).toEqual(fails("blocked"));
  expect(relayed[1]).toMatchObject({ between: ["udp", "tls"] });
  expect([world.made.length, world.open.length]).toEqual([5, 0]);
});

test("where one way works or none, nothing is said of what is relayed, and nothing is left open", async () => {
  const alone = new World((url) => (url.includes(":443") ? "works" : "broken"));
  const [results, relayed] = await tried(alone);
  expect(states(results)).toEqual(["fails", "fails", "fails", "fails", "works"]);
  expect([relayed, alone.open]).toEqual([[], []]);
  const refused = new World((url) => (url.startsWith("stun:") ? "works" : "refused"));
  expect((await tried(refused))[0].get("tls")).toEqual(fails("refused"));
  expect(refused.open).toEqual([]);
});

test("who goes away leaves nothing open", async () => {
  const abort = new AbortController();
  const world = new World((url) => {
    if (url.includes("5349")) abort.abort();
    return "works";
  });
  await tried(world, abort.signal);
  expect([world.made.length, world.open.length]).toEqual([4, 0]);
});
