import { describe, expect, test, vi } from "vitest";
import { Captions } from "../src/captions";
import { FrameCipher, Readable } from "../src/encryption/frames";
import { baseKey, newCallKey, parseCallKey } from "../src/encryption/key";
import { Sealer } from "../src/encryption/sealer";
import {
  deriveKeys,
  importBase,
  parseHeader,
  SframeReceiver,
  SframeSender,
  writeHeader,
} from "../src/encryption/sframe";
import type { Request } from "../src/session";
import { toHex } from "../src/sha256";

const hex = (text: string): Uint8Array<ArrayBuffer> =>
  Uint8Array.from(text.match(/../g) ?? [], (byte) => parseInt(byte, 16));
const bytes = (...values: number[]): Uint8Array<ArrayBuffer> => Uint8Array.from(values);
const noise = (length: number): Uint8Array<ArrayBuffer> => crypto.getRandomValues(new Uint8Array(length));
const media = async (key = newCallKey()): Promise<CryptoKey> => baseKey(parseCallKey(key) ?? bytes(), "media");

async function cipher(key: CryptoKey): Promise<FrameCipher> {
  const made = new FrameCipher();
  made.setKey(key);
  return made;
}

describe("SFrame", () => {
  test.each([
    [0x0n, 0x0n, "00"],
    [0x0n, 0x1n, "01"],
    [0x0n, 0xffn, "08ff"],
    [0x0n, 0x100n, "090100"],
    [0x7n, 0xffffn, "79ffff"],
    [0xffn, 0x0n, "80ff"],
    [0x100n, 0xffn, "980100ff"],
    [0xffffffffffffffffn, 0xffffffffffffffffn, "ffffffffffffffffffffffffffffffffff"],
  ])("the header of key %s and counter %s is %s", (kid, counter, text) => {
    const written = writeHeader(kid, counter);
    expect(toHex(written)).toBe(text);
    expect(parseHeader(written)).toEqual({ kid, counter, length: written.length });
  });

  // RFC 9605, appendix C.3.
  const vector = {
    base: hex("000102030405060708090a0b0c0d0e0f"),
    metadata: hex("4945544620534672616d65205747"),
    plain: hex("64726166742d696574662d736672616d652d656e63"),
    sealed: hex("9901234567b7412c2513a1b66dbb48841bbaf17f598751176ad847681a69c6d0b091c07018ce4adb34eb"),
  };

  test("the salt of the RFC's example is derived from its base key", async () => {
    const { salt } = await deriveKeys(await importBase(vector.base), 0x123n);
    expect(toHex(salt)).toBe("75234edefe07819026751816");
  });

  test("the frame of the RFC's example is read", async () => {
    const receiver = new SframeReceiver(await importBase(vector.base));
    expect(await receiver.decrypt(vector.sealed, vector.metadata)).toEqual(vector.plain);
  });

  test("frames under way at the same time have a counter each, and a sender made anew another key", async () => {
    const base = await media();
    const [one, other] = [new SframeSender(base), new SframeSender(base)];
    const sent = await Promise.all(
      [1, 2, 3, 4, 5].flatMap(() => [one, other].map((each) => each.encrypt(bytes(7), bytes()))),
    );
    const headers = sent.map((frame) => parseHeader(frame));
    expect(new Set(headers.map((header) => `${header?.kid} ${header?.counter}`)).size).toBe(10);
    expect(new Set(headers.map((header) => header?.kid))).toEqual(new Set([one.kid, other.kid]));
  });

  test("whoever floods us with keys that do not exist makes us forget nobody", async () => {
    const base = await media();
    const receiver = new SframeReceiver(base);
    const sender = new SframeSender(base);
    const first = await sender.encrypt(bytes(1), bytes());
    expect(await receiver.decrypt(first, bytes())).toEqual(bytes(1));
    for (let kid = 0; kid < 600; kid += 1) {
      const forged = Uint8Array.from([...writeHeader(BigInt(kid), 1n), ...noise(20)]);
      expect(await receiver.decrypt(forged, bytes())).toBeNull();
    }
    expect(await receiver.decrypt(await sender.encrypt(bytes(2), bytes()), bytes())).toEqual(bytes(2));
  });
});

describe("frames of media", () => {
  const key = bytes(0x10, ...Array.from({ length: 60 }, (_, i) => i));
  const delta = bytes(0x11, ...Array.from({ length: 60 }, (_, i) => i));

  test("a server sees as much of a frame as it forwards by, and everything comes out as it went in", async () => {
    const base = await media();
    const [sender, receiver] = [await cipher(base), await cipher(base)];
    for (const [kind, frame, clear] of [
      ["video", key, 10],
      ["video", delta, 3],
      ["audio", key, 1],
    ] as const) {
      const sealed = await sender.encrypt(kind, frame);
      expect(sealed?.subarray(0, clear)).toEqual(frame.subarray(0, clear));
      expect(toHex(sealed ?? bytes())).not.toContain(toHex(frame.subarray(clear)));
      expect(sealed && (await receiver.decrypt(kind, sealed))).toEqual(frame);
      // Once more: a replay is not ours to notice.
      expect(sealed && (await receiver.decrypt(kind, sealed))).toEqual(frame);
    }
  });

  test("every bit that is changed on the way is noticed, those in the clear included", async () => {
    const base = await media();
    const [sender, receiver] = [await cipher(base), await cipher(base)];
    const sealed = (await sender.encrypt("video", key)) ?? bytes();
    for (let at = 0; at < sealed.length; at += 1) {
      const changed = sealed.slice();
      changed[at] = (changed[at] ?? 0) ^ 1;
      expect(await receiver.decrypt("video", changed)).toBeNull();
    }
  });

  test("a frame cut off anywhere, one in the clear, and noise come out as nothing", async () => {
    const base = await media();
    const [sender, receiver] = [await cipher(base), await cipher(base)];
    const sealed = (await sender.encrypt("video", delta)) ?? bytes();
    for (let end = 0; end < sealed.length; end += 1)
      expect(await receiver.decrypt("video", sealed.slice(0, end))).toBeNull();
    for (const frame of [key, delta, bytes(), bytes(0xff)]) expect(await receiver.decrypt("video", frame)).toBeNull();
    for (let i = 0; i < 200; i += 1) expect(await receiver.decrypt("audio", noise(i))).toBeNull();
  });

  test("another key reads nothing", async () => {
    const [sender, receiver] = [await cipher(await media()), await cipher(await media())];
    const sealed = await sender.encrypt("audio", delta);
    expect(sealed && (await receiver.decrypt("audio", sealed))).toBeNull();
  });

  test("before there is a key nothing goes out and nothing comes in; a key that comes late is enough", async () => {
    const base = await media();
    const sender = new FrameCipher();
    const receiver = new FrameCipher();
    expect(await sender.encrypt("audio", delta)).toBeNull();
    sender.setKey(base);
    const sealed = (await sender.encrypt("audio", delta)) ?? bytes();
    expect(await receiver.decrypt("audio", sealed)).toBeNull();
    receiver.setKey(base);
    expect(await receiver.decrypt("audio", sealed)).toEqual(delta);
  });

  test("what is too short for its codec is not sent", async () => {
    const sender = await cipher(await media());
    expect(await sender.encrypt("video", bytes(1, 2))).toBeNull();
    expect(await sender.encrypt("video", bytes(0, 2, 3, 4, 5, 6, 7, 8, 9))).toBeNull();
    expect(await sender.encrypt("audio", bytes())).toBeNull();
    expect(await sender.encrypt("audio", bytes(0xf8))).toHaveLength(1 + 1 + 8 + 16);
  });
});

describe("whether what comes is readable", () => {
  test("is told at once when it is, and only after a while when it is not", () => {
    const readable = new Readable();
    expect(readable.handleFrame(0, true)).toBe(true);
    expect(readable.handleFrame(20, true)).toBeNull();
    for (let now = 40; now < 1_040; now += 20) expect(readable.handleFrame(now, false)).toBeNull();
    expect(readable.handleFrame(1_040, false)).toBe(false);
    expect(readable.handleFrame(1_060, false)).toBeNull();
    expect(readable.handleFrame(1_080, true)).toBe(true);
  });

  test("a few frames of somebody who came before are no failure", () => {
    const readable = new Readable();
    for (const now of [0, 600, 1_200, 1_800]) expect(readable.handleFrame(now, false)).toBeNull();
    readable.reset();
    expect(readable.handleFrame(1_900, false)).toBeNull();
  });
});

describe("the key of a call", () => {
  test("is 128 bits that a link can carry, and another one each time", () => {
    const key = newCallKey();
    expect(key).toMatch(/^[\w-]{22}$/);
    expect(parseCallKey(key)).toHaveLength(16);
    expect(newCallKey()).not.toBe(key);
  });

  test.each(["", "short", "a".repeat(21), "a".repeat(87), "with spaces in it 123456", "a".repeat(25)])(
    "%j is none",
    (text) => expect(parseCallKey(text)).toBeNull(),
  );
});

describe("what is sealed", () => {
  const key = parseCallKey("q83vEjRWeJCrze8SNFZ4kA") ?? bytes();

  test("is read by whoever has the key, as that participant's and for that purpose alone", async () => {
    const sealed = await new Sealer(key, "chat").sealText("p1", "Grüße 👋");
    expect(await new Sealer(key, "chat").openText("p1", sealed)).toBe("Grüße 👋");
    expect(await new Sealer(key, "chat").openText("p2", sealed)).toBeNull();
    expect(await new Sealer(key, "files").openText("p1", sealed)).toBeNull();
  });

  test.each(["", "!", "AAAA", "ÿÿ"])("%j is nothing", async (text) => {
    expect(await new Sealer(key, "chat").openText("p1", text)).toBeNull();
  });
});

test("captions are sealed: the server sees no word, and cannot say that it was somebody else or another line", async () => {
  const key = parseCallKey(newCallKey()) ?? bytes();
  const sent: Extract<Request, { type: "caption" }>[] = [];
  const one = (id: string): Captions => {
    const sealer = new Sealer(key, "captions");
    return new Captions(() => 1, {
      self: () => ({ id, name: id, chars: 2_000 }),
      nameOf: (participant) => participant,
      sealer: () => sealer,
      request: (frame) => {
        if (frame.type === "caption") sent.push(frame);
        return Promise.resolve();
      },
      changed: () => undefined,
    });
  };
  const [ann, bob] = [one("p1"), one("p2")];
  await ann.say(4, "the ending of the story", true, "en");
  await ann.say(5, "\u{1F600}".repeat(2_000), false, "en");
  const [first, second] = sent.map((frame) => ({ ...frame, text: frame.text }));
  if (!first || !second) throw new Error("nothing was sent");
  expect(first.text).not.toContain("ending");
  expect([...second.text].length).toBeLessThanOrEqual(2_000);
  const plain = { ...first, text: "the ending of the story" };
  for (const changed of [
    { ...first, from: "p3" },
    { ...first, from: "p1", line: 3 },
    { ...plain, from: "p1" },
  ])
    bob.handle({ ...changed, type: "caption" });
  // What comes first is looked at first: once this one is shown, none of those was.
  bob.handle({ ...first, from: "p1" });
  await vi.waitFor(() => expect(bob.lines).not.toEqual([]));
  expect(bob.lines).toMatchObject([{ from: "p1", line: 4, text: "the ending of the story", done: true, mine: false }]);
});
