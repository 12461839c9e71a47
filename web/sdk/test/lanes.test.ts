// What goes through the server's media plane: messages of applications, and files, sealed or not.
import { expect, test } from "vitest";
import { Data } from "../src/data";
import { Sealer } from "../src/encryption/sealer";
import { Files } from "../src/files/files";
import { LaneWay } from "../src/files/way";
import { KIND, Messages } from "../src/messages";
import { Lanes } from "../src/plane/lanes";
import type { DataMessage } from "../src/types";
import { FakeChannel } from "./fake-pc";
import { Clock, settle } from "./fakes";

type Bytes = Uint8Array<ArrayBuffer>;
const random = (bytes: number): Uint8Array => crypto.getRandomValues(new Uint8Array(bytes));

/** The server: replaces the addressee by the sender, as core/media/src/lanes.rs does. */
class Server {
  lanes = new Map<number, Map<string, FakeChannel>>();
  /** What it has seen. */
  seen: Bytes[] = [];

  pass(from: number, label: string, data: Bytes): void {
    const to = new DataView(data.buffer).getUint32(0);
    this.seen.push(data.slice());
    const message = data.slice();
    new DataView(message.buffer).setUint32(0, from);
    for (const [number, channels] of this.lanes)
      if (number !== from && (to === 0 || to === number)) channels.get(label)?.arrive(message);
  }
}

class LaneChannel extends FakeChannel {
  pass: (data: Bytes) => void;
  constructor(label: string, pass: (data: Bytes) => void) {
    super(label, 0, null);
    this.pass = pass;
  }
  override send(data: string | Bytes): void {
    super.send(data);
    if (typeof data !== "string") queueMicrotask(() => this.pass(data));
  }
}

class Member {
  lanes: Lanes;
  files: Files;
  data: Data;
  heard: DataMessage[] = [];
  channels = new Map<string, FakeChannel>();
  clock = new Clock();
  opened = 0;

  constructor(server: Server, number: number, readers: string[], sealer: (purpose: "files" | "data") => Sealer | null) {
    const me = (): string => `p${number}`;
    const messages = { files: new Messages(sealer("files"), me), data: new Messages(sealer("data"), me) };
    this.lanes = new Lanes(this.clock, {
      message: (from, kind, payload, reliable) => {
        if ((kind & 0x7f) >= KIND.fileText) this.files.handleLane(from, kind, payload);
        else this.data.handle(from, kind, payload, reliable);
      },
      changed: () => {
        if (!this.lanes.isOpen) this.files.keepLanes([]);
      },
    });
    this.files = new Files({
      random,
      timers: this.clock,
      messages: () => messages.files,
      lane: (peer) => (readers.includes(peer) ? new LaneWay(this.lanes, peer) : null),
      changed: () => undefined,
    });
    this.data = new Data({
      readers: () => readers,
      isDirect: () => false,
      sendDirect: () => false,
      sendLane: (to, kind, payload, reliable) => this.lanes.send(to, kind, payload, reliable),
      room: () => this.lanes.room(),
      messages: () => messages.data,
      received: (message) => this.heard.push(message),
    });
    server.lanes.set(number, this.channels);
    const createDataChannel = (label: string): RTCDataChannel => {
      const channel = new LaneChannel(label, (data) => server.pass(number, label, data));
      this.channels.set(label, channel);
      this.opened += 1;
      queueMicrotask(() => channel.open());
      return channel as unknown as RTCDataChannel;
    };
    this.lanes.open({ createDataChannel, connectionState: "connected" } as unknown as RTCPeerConnection);
  }
}

async function room(keys: [Bytes | null, Bytes | null, Bytes | null] = [null, null, null]) {
  const server = new Server();
  const all = ["p1", "p2", "p3"];
  const members = keys.map((key, i) => {
    const others = all.filter((id) => id !== `p${i + 1}`);
    return new Member(server, i + 1, others, (purpose) => key && new Sealer(key, purpose));
  });
  await settle();
  return { server, members: members as [Member, Member, Member] };
}

const file = (size: number): File =>
  new File([Uint8Array.from({ length: size }, (_, i) => i & 0xff)], "notes.txt", { type: "text/plain" });
const key = new Uint8Array(16).fill(7);
const otherKey = new Uint8Array(16).fill(8);

async function until(done: () => boolean): Promise<void> {
  for (let i = 0; i < 500 && !done(); i += 1) await settle();
  expect(done()).toBe(true);
}

test("what is said to all reaches all others, and what is said to one nobody else", async () => {
  const { members } = await room();
  const [ann, ben, cora] = members;
  await ann.data.send("to all", undefined, true);
  await ann.data.send(Uint8Array.of(1, 2), "p3", false);
  await settle();
  expect(ben.heard).toEqual([{ from: "p1", data: "to all", reliable: true }]);
  expect(cora.heard).toEqual([
    { from: "p1", data: "to all", reliable: true },
    { from: "p1", data: Uint8Array.of(1, 2), reliable: false },
  ]);
  expect(ann.heard).toEqual([]);
});

test("what is too large, to nobody, or by no way is refused with a reason", async () => {
  const { members } = await room();
  const [ann] = members;
  await expect(ann.data.send("x".repeat(60 * 1024 + 1), undefined, true)).rejects.toMatchObject({
    reason: "too_large",
  });
  await expect(ann.data.send("x", "p9", true)).rejects.toMatchObject({ reason: "no_such_participant" });
  ann.lanes.close();
  await expect(ann.data.send("x", undefined, true)).rejects.toMatchObject({ reason: "unreachable" });
});

test("a message that nobody here could have sent is dropped", async () => {
  const { members } = await room();
  const [, ben] = members;
  const lane = ben.channels.get("reliable");
  const frame = (from: number, ...rest: number[]): Bytes => Uint8Array.of(0, 0, 0, from, ...rest);
  for (const bytes of [
    Uint8Array.of(),
    Uint8Array.of(0, 0, 0, 1),
    frame(9, KIND.text, 65),
    frame(1, 0, 65),
    frame(1, 99, 65),
    frame(1, KIND.text, 0xff),
    frame(1, KIND.text | 0x80, 65),
    frame(1, KIND.fileText, 65),
    frame(1, KIND.filePiece, 1, 2, 3),
    frame(9, KIND.fileText, ...new TextEncoder().encode('{"type":"offer","id":1,"name":"a","size":1,"mime":""}')),
  ])
    lane?.arrive(bytes);
  lane?.arrive("text" as string);
  lane?.arrive(new Uint8Array(300 * 1024));
  await settle();
  expect(ben.heard).toEqual([]);
  expect(ben.files.transfers).toEqual([]);
});

test.each([
  ["in the clear", null],
  ["sealed", key],
])("a file goes to one of three through the server, %s", async (_, used) => {
  const { members, server } = await room([used, used, used]);
  const [ann, ben, cora] = members;
  ann.files.offer(file(300_000), "p2");
  await until(() => ben.files.transfers.length === 1);
  ben.files.accept(ben.files.transfers[0]?.id ?? "");
  await until(() => ann.files.transfers[0]?.state === "finished");
  expect(ben.files.transfers[0]).toMatchObject({ state: "finished", done: 300_000, peer: "p1" });
  expect(new Uint8Array((await ben.files.transfers[0]?.blob?.arrayBuffer()) ?? new ArrayBuffer(0))).toEqual(
    new Uint8Array(await file(300_000).arrayBuffer()),
  );
  expect(cora.files.transfers).toEqual([]);
  const name = Buffer.from("notes.txt");
  const readable = server.seen.some((bytes) => Buffer.from(bytes).includes(name));
  expect(readable).toBe(used === null);
});

test("a sender does not run ahead of the receiver, and gives up when nothing is heard of it", async () => {
  const { members } = await room();
  const [ann, ben] = members;
  ann.files.offer(file(1_000_000), "p2");
  await until(() => ben.files.transfers.length === 1);
  // From here on Ben's answers are lost.
  ben.files.accept(ben.files.transfers[0]?.id ?? "");
  const lane = ben.channels.get("reliable") as LaneChannel;
  lane.pass = () => undefined;
  for (let i = 0; i < 20; i += 1) await settle();
  expect(ann.files.transfers[0]?.state).toBe("waiting");
  // He has accepted after all, and is silent from then on.
  const accept = new TextEncoder().encode('{"type":"accept","id":1}');
  ann.files.handleLane("p2", KIND.fileText, accept);
  for (let i = 0; i < 50; i += 1) await settle();
  expect(ann.files.transfers[0]?.state).toBe("running");
  expect(ann.files.transfers[0]?.done).toBeGreaterThan(100_000);
  expect(ann.files.transfers[0]?.done).toBeLessThan(160_000);
  await ann.clock.advance(31_000);
  await settle();
  expect(ann.files.transfers[0]).toMatchObject({ state: "failed", reason: "the connection was lost" });
});

test("a lane that the server closes fails what was under way, and is opened again", async () => {
  const { members } = await room();
  const [ann, ben] = members;
  ann.files.offer(file(10), "p2");
  await until(() => ben.files.transfers.length === 1);
  ben.channels.get("reliable")?.shut();
  expect(ben.files.transfers[0]?.state).toBe("failed");
  expect(ben.lanes.isOpen).toBe(false);
  await ben.clock.advance(1_000);
  await settle();
  expect(ben.lanes.isOpen).toBe(true);
  ann.files.offer(file(10), "p2");
  await until(() => ben.files.transfers.length === 2);
});

test("in a call with a key, who has none or another one neither hears nor is heard", async () => {
  const { members } = await room([key, otherKey, null]);
  const [ann, ben, cora] = members;
  for (const each of members) await each.data.send("hello", undefined, true);
  ann.files.offer(file(10), "p2");
  ann.files.offer(file(10), "p3");
  for (let i = 0; i < 20; i += 1) await settle();
  for (const each of [ann, ben, cora]) expect(each.heard).toEqual([]);
  expect([ben.files.transfers, cora.files.transfers]).toEqual([[], []]);
});

test("sealed messages arrive in the order in which they were sent, and not as somebody else's", async () => {
  const { members, server } = await room([key, key, key]);
  const [ann, ben] = members;
  await Promise.all(Array.from({ length: 50 }, (_, i) => ann.data.send(String(i), "p2", true)));
  await until(() => ben.heard.length === 50);
  expect(ben.heard.map(({ data }) => data)).toEqual(Array.from({ length: 50 }, (_, i) => String(i)));
  const replayed = server.seen[0]?.slice() ?? new Uint8Array();
  // The server says that Cora has said it.
  new DataView(replayed.buffer).setUint32(0, 3);
  ben.channels.get("reliable")?.arrive(replayed);
  await settle();
  expect(ben.heard).toHaveLength(50);
});

test("what may be lost is not kept waiting on a full lane", async () => {
  const { members } = await room();
  const [ann, ben] = members;
  const lossy = ann.channels.get("lossy");
  if (lossy) lossy.bufferedAmount = 100_000;
  await ann.data.send("late", undefined, false);
  await settle();
  expect(ben.heard).toEqual([]);
});
