// What breaks in mid-call mends itself.
import { expect, test } from "../src/fixtures.ts";
import { lostServer, Person, talk, words } from "../src/person.ts";

test("a page that is reloaded in mid-call comes back to the same place without a question", async ({
  person,
  room,
}) => {
  const ann = await person("Ann");
  const ben = await person("Ben");
  await ann.enters(room);
  await ben.enters(room);
  await talk(ann, ben);
  const before = await ben.roster();
  await ann.page.reload();
  await expect(ann.bar).toBeVisible();
  await talk(ann, ben);
  expect(await ben.roster()).toEqual(before);
  expect(await ann.roster()).toEqual(before);
});

for (const signal of ["SIGTERM", "SIGKILL"] as const) {
  test.describe(`a server that is ended by ${signal} and started again`, () => {
    test.use({ settings: {} });

    test(`leaves the call as it was: ${signal}`, async ({ person, room, server }) => {
      const ann = await person("Ann", { mayLog: lostServer });
      const ben = await person("Ben", { mayLog: lostServer });
      await ann.enters(room);
      await ben.enters(room);
      await talk(ann, ben);
      const before = await ben.roster();
      await server.down(signal);
      // Between browsers everything flows on without it.
      await talk(ann, ben);
      await expect(ann.lost).toBeVisible();
      await server.up();
      await expect(ann.lost).toBeHidden({ timeout: 60_000 });
      await expect(ben.lost).toBeHidden({ timeout: 60_000 });
      await talk(ann, ben);
      expect(await ann.roster()).toEqual(before);
      expect(await ben.roster()).toEqual(before);
      await ann.opensChat();
      await ben.opensChat();
      await ann.writes("Still here?");
      await expect(ben.lines).toHaveText([/Still here\?/]);
      // It is the same room: the host is still the host.
      const carl = await person("Carl");
      await carl.enters(room);
      await talk(ann, ben, carl);
    });
  });
}

test("who loses the network for a while misses no line of the chat", async ({ person, room }) => {
  const ann = await person("Ann", { mayLog: lostServer });
  const ben = await person("Ben");
  await ann.enters(room);
  await ben.enters(room);
  await talk(ann, ben);
  await ann.opensChat();
  await ben.opensChat();
  await ben.writes("Before");
  await expect(ann.lines).toHaveText([/Before/]);

  await ann.page.context().setOffline(true);
  await ann.page.evaluate(() => window.spy.cut(true));
  await expect(ann.lost).toBeVisible();
  for (const line of ["One", "Two", "Three"]) await ben.writes(line);
  await expect(ben.lines).toHaveCount(4);
  await ann.page.context().setOffline(false);
  await ann.page.evaluate(() => window.spy.cut(false));

  await expect(ann.lines).toHaveText([/Before/, /One/, /Two/, /Three/]);
  await ann.writes("All there");
  await expect(ben.lines).toHaveText([/Before/, /One/, /Two/, /Three/, /All there/]);
  await talk(ann, ben);
});

test("where WebSockets do not get through, the call works all the same", async ({ person, room }) => {
  const ann = await person("Ann", { noWebSocket: true, mayLog: /WebSocket connection/ });
  const ben = await person("Ben", { noWebSocket: true, mayLog: /WebSocket connection/ });
  await ann.enters(room);
  await ben.enters(room);
  await talk(ann, ben);
  await ann.opensChat();
  await ben.opensChat();
  await ann.writes("Slow road");
  await expect(ben.lines).toHaveText([/Slow road/]);
  await ben.writes("Same town");
  await expect(ann.lines).toHaveText([/Slow road/, /Same town/]);
});

test.describe("a place that is kept for two seconds", () => {
  test.use({ settings: { TANDEM_ROOMS_RESUME: "2s" } });

  test("is taken anew by the page itself after a longer outage, and everyone is connected again", async ({
    person,
    room,
  }) => {
    const ann = await person("Ann", { mayLog: lostServer });
    const ben = await person("Ben");
    await ann.enters(room);
    await ben.enters(room);
    await talk(ann, ben);
    await ann.page.context().setOffline(true);
    await ann.page.evaluate(() => window.spy.cut(true));
    await expect(ben.tile("Ann")).toHaveCount(0);
    await ann.page.context().setOffline(false);
    await ann.page.evaluate(() => window.spy.cut(false));

    await expect(ann.notice(words.notices.rejoined)).toBeVisible();
    await talk(ann, ben);
    expect(await ann.roster()).toEqual(await ben.roster());
  });
});

test("a second tab with the same place takes the call over, and the first says so", async ({ person, room }) => {
  const ann = await person("Ann");
  const ben = await person("Ben");
  await ann.enters(room);
  await ben.enters(room);
  await talk(ann, ben);
  // The page goes and comes back from the browser's memory: its token stays behind, and a duplicated tab finds it.
  await ann.page.evaluate(() => dispatchEvent(new Event("pagehide")));
  const opened = ann.page.context().waitForEvent("page");
  await ann.page.evaluate(() => void window.open(location.href));
  const tab = new Person("Ann", await opened);
  await expect(tab.bar).toBeVisible();
  await ann.isTold("already_joined");
  await talk(tab, ben);
  await expect(ben.tile("Ann")).toHaveCount(1);
});
