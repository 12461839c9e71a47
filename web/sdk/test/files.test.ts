import { createHash } from "node:crypto";
import { beforeEach, expect, test } from "vitest";
import { Files } from "../src/files/files";
import { cleanName, parseFileMessage, parsePiece, PIECE_BYTES, writePiece } from "../src/files/protocol";
import { FakeChannel } from "./fake-pc";
import { Messages } from "../src/messages";
import { Clock, settle } from "./fakes";

const random = (bytes: number): Uint8Array => crypto.getRandomValues(new Uint8Array(bytes));

/** A channel whose other end is another one of these. */
class Wire extends FakeChannel {
  other: Wire | null = null;
  constructor() {
    super("files", 1, null);
  }
  override send(data: string | Uint8Array<ArrayBuffer>): void {
    super.send(data);
    queueMicrotask(() => this.other?.arrive(data));
  }
}

let ann: Files;
let bob: Files;
let annWire: Wire;
let bobWire: Wire;

beforeEach(() => {
  const open = new Messages(null, () => "");
  const deps = { random, timers: new Clock(), messages: () => open, lane: () => null, changed: () => undefined };
  ann = new Files(deps);
  bob = new Files(deps);
  annWire = new Wire();
  bobWire = new Wire();
  annWire.other = bobWire;
  bobWire.other = annWire;
  ann.attach("bob", annWire as unknown as RTCDataChannel);
  bob.attach("ann", bobWire as unknown as RTCDataChannel);
  annWire.open();
  bobWire.open();
});

function content(size: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length: size }, (_, i) => (i * 31 + (i >> 8)) & 0xff);
}

function file(size: number, name = "notes.txt"): File {
  return new File([content(size)], name, { type: "text/plain" });
}

function sha(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

test.each([0, 1, PIECE_BYTES, PIECE_BYTES * 16 + 1, 1_000_000])("a file of %i bytes arrives whole", async (size) => {
  ann.offer(file(size), "bob");
  await settle();
  expect(ann.transfers[0]).toMatchObject({ direction: "out", state: "waiting", done: 0 });
  expect(bob.transfers[0]).toMatchObject({ direction: "in", state: "offered", name: "notes.txt", size, peer: "ann" });
  expect(annWire.sent.filter((each) => typeof each !== "string")).toHaveLength(0);
  bob.accept(bob.transfers[0]?.id ?? "");
  for (let i = 0; i < 50 && bob.transfers[0]?.state !== "finished"; i += 1) await settle();
  expect(bob.transfers[0]).toMatchObject({ state: "finished", done: size, sha256: sha(content(size)) });
  expect(ann.transfers[0]).toMatchObject({ state: "finished", done: size, sha256: sha(content(size)) });
  const blob = bob.transfers[0]?.blob;
  expect(blob?.type).toBe("text/plain");
  expect(sha(new Uint8Array((await blob?.arrayBuffer()) ?? new ArrayBuffer(1)))).toBe(sha(content(size)));
});

test("a sender waits while the channel is full and goes on when it has drained", async () => {
  ann.offer(file(200_000), "bob");
  await settle();
  annWire.bufferedAmount = 2_000_000;
  bob.accept(bob.transfers[0]?.id ?? "");
  await settle();
  expect(ann.transfers[0]).toMatchObject({ state: "running", done: 0 });
  annWire.bufferedAmount = 0;
  annWire.onbufferedamountlow?.();
  await settle();
  expect(ann.transfers[0]?.state).toBe("finished");
});

test("several files run at once, in both directions", async () => {
  for (const size of [300_000, 200_000]) ann.offer(file(size), "bob");
  bob.offer(file(100_000), "ann");
  await settle();
  for (const { id } of bob.transfers) bob.accept(id);
  for (const { id } of ann.transfers) ann.accept(id);
  for (let i = 0; i < 20; i += 1) await settle();
  expect([...ann.transfers, ...bob.transfers].map(({ state }) => state)).toEqual(Array(6).fill("finished"));
});

test("declined, taken back and stopped files say so on both sides", async () => {
  ann.offer(file(10), "bob");
  ann.offer(file(10), "bob");
  ann.offer(file(500_000), "bob");
  await settle();
  const [first, second, third] = bob.transfers.map(({ id }) => id);
  bob.decline(first ?? "");
  ann.cancel(ann.transfers[1]?.id ?? "");
  annWire.bufferedAmount = 2_000_000;
  bob.accept(third ?? "");
  await settle();
  bob.cancel(third ?? "");
  annWire.bufferedAmount = 0;
  annWire.onbufferedamountlow?.();
  await settle();
  expect(ann.transfers.map(({ state }) => state)).toEqual(["declined", "cancelled", "cancelled"]);
  expect(bob.transfers.map(({ state }) => state)).toEqual(["declined", "cancelled", "cancelled"]);
  bob.accept(second ?? "");
  expect(bob.transfers[1]?.state).toBe("cancelled");
});

test("a lost connection fails what was under way and keeps what was finished", async () => {
  ann.offer(file(10), "bob");
  await settle();
  bob.accept(bob.transfers[0]?.id ?? "");
  await settle();
  ann.offer(file(10), "bob");
  await settle();
  ann.detach("bob");
  bobWire.shut();
  expect(ann.transfers.map(({ state }) => state)).toEqual(["finished", "failed"]);
  expect(bob.transfers.map(({ state }) => state)).toEqual(["finished", "failed"]);
  ann.offer(file(1), "bob");
  expect(ann.transfers.at(-1)).toMatchObject({ state: "failed", reason: "there is no connection" });
});

/** Bob, against somebody who writes what he likes. */
function hostile(...frames: (object | Uint8Array<ArrayBuffer>)[]): void {
  for (const frame of frames) {
    bobWire.arrive(frame instanceof Uint8Array ? frame : JSON.stringify(frame));
  }
}

test("pieces nobody accepted, or more than was announced, are not taken", () => {
  hostile({ type: "offer", id: 1, name: "x", size: 3, mime: "" }, writePiece(1, content(3)), writePiece(9, content(3)));
  expect(bob.transfers).toMatchObject([{ state: "offered", done: 0, type: "application/octet-stream" }]);
  bob.accept(bob.transfers[0]?.id ?? "");
  hostile(writePiece(1, content(2)), writePiece(1, content(2)));
  expect(bob.transfers).toMatchObject([{ state: "failed", reason: "more came than was announced", blob: null }]);
  expect(bobWire.sent.at(-1)).toContain('"bad"');
});

test("less than was announced, or another content than was hashed, fails", () => {
  const offer = { type: "offer", size: 3, name: "x", mime: "" };
  hostile({ ...offer, id: 1 }, { ...offer, id: 2 });
  for (const { id } of bob.transfers) bob.accept(id);
  hostile(writePiece(1, content(2)), { type: "end", id: 1, sha256: sha(content(2)) });
  hostile(writePiece(2, content(3)), { type: "end", id: 2, sha256: "00".repeat(32) });
  expect(bob.transfers.map(({ state }) => state)).toEqual(["failed", "failed"]);
  expect(bob.transfers[1]?.reason).toContain("SHA-256");
});

test("too large a file, and too many at once, are declined", () => {
  hostile({ type: "offer", id: 1, name: "x", size: 2 ** 40, mime: "" });
  expect(bob.transfers).toMatchObject([{ state: "declined", reason: "a file may have 2 GiB at most" }]);
  for (let id = 2; id < 100; id += 1) hostile({ type: "offer", id, name: "x", size: 1, mime: "" });
  expect(bob.transfers.filter(({ state }) => state === "offered")).toHaveLength(20);
});

test("an accept of what was not offered, or a second one, sends nothing", async () => {
  annWire.arrive(JSON.stringify({ type: "accept", id: 7 }));
  ann.offer(file(PIECE_BYTES), "bob");
  await settle();
  annWire.arrive(JSON.stringify({ type: "accept", id: 1 }));
  annWire.arrive(JSON.stringify({ type: "accept", id: 1 }));
  await settle();
  expect(annWire.sent.filter((each) => typeof each !== "string")).toHaveLength(1);
});

test.each([
  "",
  "{",
  "[]",
  '{"type":"offer","id":1}',
  '{"type":"accept","id":-1}',
  '{"type":"end","id":1,"sha256":"x"}',
])("%j is no file message", (text) => {
  expect(parseFileMessage(text)).toBeNull();
});

test("a piece has a number and at least one byte", () => {
  expect(parsePiece(writePiece(0xffff_fffe, content(3)))).toEqual({ id: 0xffff_fffe, bytes: content(3) });
  expect(parsePiece(new Uint8Array(4))).toBeNull();
});

test("a name is the last part of a path, without what hides or reorders", () => {
  expect(cleanName("../../etc/passwd")).toBe("passwd");
  expect(cleanName("C:\\Users\\a\\b.txt")).toBe("b.txt");
  expect(cleanName("photo\u202Egpj.exe\u0000\n")).toBe("photogpj.exe");
  expect([cleanName(""), cleanName(".."), cleanName("a/")]).toEqual(["file", "file", "file"]);
  expect(cleanName("x".repeat(500))).toHaveLength(200);
});
