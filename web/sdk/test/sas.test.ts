import { expect, test } from "vitest";
import { fingerprintsOf, SasExchange } from "../src/sas";
import { WORDS } from "../src/words";

const random = (bytes: number): Uint8Array => crypto.getRandomValues(new Uint8Array(bytes));
const ANN = "sha-256 AA:AA";
const BOB = "sha-256 BB:BB";
const EVE = "sha-256 EE:EE";

/** Two ends whose messages arrive at each other, in order. */
function connect(initiator: [string, string], responder: [string, string]): [SasExchange, SasExchange] {
  const queue: [() => SasExchange, string][] = [];
  const first = new SasExchange({ initiator: true, local: initiator[0], remote: initiator[1], random }, (text) =>
    queue.push([() => second, text]),
  );
  const second = new SasExchange({ initiator: false, local: responder[0], remote: responder[1], random }, (text) =>
    queue.push([() => first, text]),
  );
  first.start();
  second.start();
  for (let next = queue.shift(); next; next = queue.shift()) next[0]().handleMessage(next[1]);
  return [first, second];
}

function exchange(annSees = BOB, bobSees = ANN): [SasExchange, SasExchange] {
  return connect([ANN, annSees], [BOB, bobSees]);
}

test("both sides read the same four words", () => {
  const [ann, bob] = exchange();
  expect(ann.words).toHaveLength(4);
  expect(bob.words).toEqual(ann.words);
  expect(ann.words?.every((word) => WORDS.includes(word))).toBe(true);
});

test("the words are different in each exchange", () => {
  const seen = new Set(Array.from({ length: 20 }, () => exchange()[0].words?.join(" ")));
  expect(seen.size).toBe(20);
});

test("who sees another fingerprint reads other words", () => {
  const [ann, bob] = exchange(EVE, EVE);
  expect(ann.words).not.toBeNull();
  expect(bob.words).not.toEqual(ann.words);
});

test("a man in the middle with two honest exchanges cannot make the words agree", () => {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    const [ann] = connect([ANN, EVE], [EVE, ANN]);
    const [, bob] = connect([EVE, BOB], [BOB, EVE]);
    expect(ann.words).not.toBeNull();
    expect(bob.words).not.toBeNull();
    expect(bob.words).not.toEqual(ann.words);
  }
});

test("a nonce chosen after the other's was seen breaks the commitment and is refused", () => {
  const toEve: string[] = [];
  const bob = new SasExchange({ initiator: false, local: BOB, remote: EVE, random }, (text) => toEve.push(text));
  const committed = new SasExchange({ initiator: true, local: EVE, remote: BOB, random }, (text) =>
    bob.handleMessage(text),
  );
  committed.start();
  expect(JSON.parse(toEve[0] ?? "")).toMatchObject({ type: "nonce" });
  bob.handleMessage(JSON.stringify({ type: "reveal", nonce: "00".repeat(32) }));
  expect(bob.words).toBeNull();
  expect(bob.failed).toBe(true);
});

test("an exchange runs once: a second commitment or reveal changes nothing", () => {
  const [ann, bob] = exchange();
  const words = bob.words;
  bob.handleMessage(JSON.stringify({ type: "commit", hash: "00".repeat(32) }));
  ann.handleMessage(JSON.stringify({ type: "nonce", nonce: "00".repeat(32) }));
  expect([ann.words, bob.words]).toEqual([words, words]);
});

test.each(["", "{", "[]", "7", '{"type":"nonce"}', '{"type":"reveal","nonce":"zz"}', '{"type":"nonce","nonce":"00"}'])(
  "%j is refused",
  (text) => {
    const ann = new SasExchange({ initiator: true, local: ANN, remote: BOB, random }, () => undefined);
    ann.start();
    ann.handleMessage(text);
    expect(ann.failed).toBe(true);
    expect(ann.words).toBeNull();
  },
);

test("a message out of turn is refused", () => {
  const bob = new SasExchange({ initiator: false, local: BOB, remote: ANN, random }, () => undefined);
  bob.handleMessage(JSON.stringify({ type: "reveal", nonce: "00".repeat(32) }));
  expect(bob.failed).toBe(true);
});

test("fingerprints are read from a description whatever their case and number", () => {
  const sdp =
    "v=0\r\na=fingerprint:SHA-256 ab:cd\r\nm=audio\r\na=fingerprint:sha-256 AB:CD\r\na=fingerprint:sha-1 00:11\r\n";
  expect(fingerprintsOf(sdp)).toBe("sha-1 00:11,sha-256 AB:CD");
  expect(fingerprintsOf("v=0\r\n")).toBeNull();
});

test("there are 256 words, all different, all plain and none the beginning of another", () => {
  expect(new Set(WORDS).size).toBe(256);
  expect(WORDS.every((word) => /^[a-z]{4,10}$/.test(word))).toBe(true);
  expect(WORDS.filter((word) => WORDS.some((other) => other !== word && other.startsWith(word)))).toEqual([]);
});
