// What the host may do, and how many fit in.
import { expect, test } from "../src/fixtures.ts";
import { talk, words } from "../src/person.ts";

test("a third page is refused by a locked room with a clear word, and let in when it is open again", async ({
  person,
  room,
}) => {
  const ann = await person("Ann");
  const ben = await person("Ben");
  await ann.enters(room);
  await ben.enters(room);
  await talk(ann, ben);
  await ann.opensPeople();
  await ann.panel.getByRole("button", { name: words.people.lock }).click();
  await expect(ben.notice(words.notices.locked)).toBeVisible();

  const carl = await person("Carl");
  await carl.opens(room);
  await carl.joins();
  await carl.isTold("room_locked");

  await ann.panel.getByRole("button", { name: words.people.unlock }).click();
  await expect(ben.notice(words.notices.unlocked)).toBeVisible();
  await carl.page.getByTestId("rejoin").click();
  await carl.fillsIn();
  await carl.joins();
  await talk(ann, ben, carl);
});

test("the host removes somebody, who is told, and the others go on", async ({ person, room }) => {
  const ann = await person("Ann");
  const ben = await person("Ben");
  const carl = await person("Carl");
  await ann.enters(room);
  await ben.enters(room);
  await carl.enters(room);
  await talk(ann, ben, carl);
  await ann.opensPeople();
  await ann.uses("Carl", words.people.remove);
  await ann.confirms();
  await carl.isTold("removed");
  for (const one of [ann, ben]) await expect(one.tile("Carl")).toHaveCount(0);
  await expect
    .poll(() => carl.page.evaluate(() => window.spy.tracks.filter(({ readyState }) => readyState === "live").length))
    .toBe(0);
  await talk(ann, ben);
});

test("the host ends the call for everyone", async ({ person, room }) => {
  const ann = await person("Ann");
  const ben = await person("Ben");
  await ann.enters(room);
  await ben.enters(room);
  await talk(ann, ben);
  await ann.opensPeople();
  await ann.panel.getByRole("button", { name: words.people.end }).click();
  await ann.confirms();
  for (const one of [ann, ben]) await one.isTold("ended");
});

test("the host hands over, and only the new host has the tools", async ({ person, room }) => {
  const ann = await person("Ann");
  const ben = await person("Ben");
  await ann.enters(room);
  await ben.enters(room);
  await ann.opensPeople();
  await ben.opensPeople();
  await expect(ben.panel.getByRole("button", { name: words.people.lock })).toHaveCount(0);
  await ann.uses("Ben", words.people.makeHost);
  await expect(ben.notice(words.notices.hostYou)).toBeVisible();
  await expect(ben.panel.getByRole("button", { name: words.people.lock })).toBeVisible();
  await expect(ann.panel.getByRole("button", { name: words.people.lock })).toHaveCount(0);
});

test.describe("without a media plane", () => {
  test.use({ settings: { TANDEM_MEDIA_ENABLED: "false", TANDEM_ROOMS_MESH: "4" } });

  test("four see and hear each other; a fifth is told why there are no pictures, and they come back when one leaves", async ({
    person,
    room,
  }) => {
    test.slow();
    const ann = await person("Ann");
    const four = [ann, await person("Ben"), await person("Carl"), await person("Dora")];
    for (const one of four) await one.enters(room);
    await talk(...four);
    const fifth = await person("Emil");
    await fifth.enters(room);
    for (const { page } of [...four, fifth]) await expect(page.getByText(words.call.meshFull)).toBeVisible();
    await fifth.opensChat();
    await fifth.writes("At least I can write");
    await ann.opensChat();
    await expect(ann.lines).toHaveText([/At least I can write/]);
    await fifth.button(words.bar.leave).click();
    for (const { page } of four) await expect(page.getByText(words.call.meshFull)).toHaveCount(0);
    await talk(...four);
  });
});

test("before entering one sees who is there, unless the room is locked or one has to ring", async ({
  person,
  room,
}) => {
  const ann = await person("Ann");
  await ann.enters(room);
  const ben = await person("Ben");
  const line = ben.page.getByTestId("who-is-here");
  await ben.opens(room);
  await expect(line).toHaveText(words.green.here(["Ann"], 1));
  await expect(ann.page.getByTestId("alone")).toBeVisible();
  await ann.opensPeople();
  await ann.panel.getByRole("button", { name: words.people.lock }).click();
  await ben.opens(room);
  await expect(line).toHaveText(words.green.door.locked);
  await ben.opens(`${room}-empty`);
  await expect(line).toHaveText(words.green.door.empty);

  const carl = await person("Carl");
  await carl.enters(`${room}-bell`, { door: "call" });
  await ben.opens(`${room}-bell`, { door: "call" });
  await expect(line).toHaveText(words.green.door.ring);
});
