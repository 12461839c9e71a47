// "Hide my address": everything through the relay, over whatever the network lets out.
import { expect, test } from "../src/fixtures.ts";
import { flow, types } from "../src/measure.ts";
import { talk, words } from "../src/person.ts";
import { framesOf } from "../src/wire.ts";

for (const turnOver of ["udp", "tcp", "tls"] as const) {
  test(`who hides the address talks through the relay over ${turnOver}, and no other candidate leaves the page or arrives`, async ({
    person,
    room,
  }) => {
    const ann = await person("Ann", { turnOver });
    const ben = await person("Ben", { turnOver });
    const annFrames = framesOf(ann.page);
    const benFrames = framesOf(ben.page);
    await ann.enters(room, { hideAddress: true });
    await ben.enters(room, { hideAddress: true });
    await talk(ann, ben);

    for (const [someone, frames] of [
      [ann, annFrames],
      [ben, benFrames],
    ] as const) {
      const { pairs } = await flow(someone.page);
      expect(pairs.length).toBeGreaterThan(0);
      for (const pair of pairs)
        expect(pair).toMatchObject({ local: "relay", remote: "relay", relayProtocol: turnOver });
      expect(types(await someone.page.evaluate(() => window.spy.gathered))).toEqual(["relay"]);
      expect(types(await someone.page.evaluate(() => window.spy.received))).toEqual(["relay"]);
      expect(frames.candidates("sent").length).toBeGreaterThan(0);
      expect(types(frames.candidates("sent"))).toEqual(["relay"]);
      expect(types(frames.candidates("received"))).toEqual(["relay"]);
      // Nor does a related address tell (RFC 8839 §5.1: `raddr`).
      for (const candidate of frames.candidates("received")) expect(candidate).not.toMatch(/raddr (?!0\.0\.0\.0|::)/);
    }
    await ann.opensMore(words.more.stats);
    await expect(ann.dialog).toContainText(/relay/i);
  });
}

for (const shared of [true, false]) {
  test.describe(shared ? "the port of the pages" : "a port of its own", () => {
    test.use({ settings: { TANDEM_RELAY_SHARE_HTTP_PORT: String(shared) } });

    test("is the one TURN over TLS goes by, and the only one that is named", async ({ person, room, server }) => {
      const ann = await person("Ann", { turnOver: "tls" });
      const ben = await person("Ben", { turnOver: "tls" });
      await ann.enters(room, { hideAddress: true });
      await ben.enters(room, { hideAddress: true });
      await talk(ann, ben);
      const port = shared ? server.ports.https : server.ports.relayTls;
      const url = `turns:localhost:${port}?transport=tcp`;
      for (const someone of [ann, ben]) {
        const { pairs } = await flow(someone.page);
        expect(pairs.length).toBeGreaterThan(0);
        for (const pair of pairs) expect(pair).toMatchObject({ local: "relay", relayProtocol: "tls", url });
      }
    });
  });
}

test("one who hides and one who does not talk through the relay", async ({ person, room }) => {
  const ann = await person("Ann");
  const ben = await person("Ben");
  const benFrames = framesOf(ben.page);
  await ann.enters(room, { hideAddress: true });
  await ben.enters(room);
  await talk(ann, ben);
  for (const pair of (await flow(ann.page)).pairs) expect(pair.local).toBe("relay");
  expect(types(benFrames.candidates("received"))).toEqual(["relay"]);
});

test("a page that was tampered with and trickles its own address anyway is refused by the server", async ({
  person,
  room,
}) => {
  const ann = await person("Ann", { tampered: "candidate:1 1 udp 2122260223 192.0.2.7 50000 typ host" });
  const ben = await person("Ben");
  const annFrames = framesOf(ann.page);
  const benFrames = framesOf(ben.page);
  await ben.enters(room);
  await ann.enters(room, { hideAddress: true });
  await expect.poll(() => annFrames.refusals()).toContain("address_hidden");
  // Ann's real candidates arrive: what Ben got is complete, and the planted address is nowhere in it.
  await expect.poll(() => benFrames.candidates("received").length).toBeGreaterThan(0);
  expect(types(benFrames.candidates("received"))).toEqual(["relay"]);
  expect(benFrames.text("received")).not.toContain("192.0.2.7");
});
