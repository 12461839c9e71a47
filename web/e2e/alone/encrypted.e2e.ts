// End-to-end encryption: whoever has the key of the link sees and hears, and nobody else, the server included.
import type { Page } from "@playwright/test";
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { expect, test } from "../src/fixtures.ts";
import { advances } from "../src/measure.ts";
import { talk, words, type Person } from "../src/person.ts";
import { pictures, sees } from "../src/pictures.ts";

const KEY = "q83vEjRWeJCrze8SNFZ4kA";
const OTHER_KEY = "AAAAAAAAAAAAAAAAAAAAAA";

/** Sizes of the pictures that have come, and how many of them could be decoded. */
async function decoded(page: Page): Promise<number> {
  return (await pictures(page)).reduce((sum, picture) => sum + picture.decoded, 0);
}

/** Packets of pictures and sound that have come, whatever became of them. */
function arrived(page: Page): Promise<number> {
  return page.evaluate(async () => {
    let packets = 0;
    for (const connection of window.spy.connections) {
      if (connection.connectionState === "closed") continue;
      (await connection.getStats()).forEach((entry: Record<string, unknown>) => {
        if (entry["type"] === "inbound-rtp") packets += Number(entry["packetsReceived"] ?? 0);
      });
    }
    return packets;
  });
}

/** How much sound has been heard: energy of everything that was decoded. */
function heard(page: Page): Promise<number> {
  return page.evaluate(async () => {
    let energy = 0;
    for (const connection of window.spy.connections) {
      if (connection.connectionState === "closed") continue;
      (await connection.getStats()).forEach((entry: Record<string, unknown>) => {
        if (entry["type"] === "inbound-rtp" && entry["kind"] === "audio")
          energy += Number(entry["totalAudioEnergy"] ?? 0);
      });
    }
    return energy;
  });
}

const status = (person: Person, name: string) => person.tile(name).getByTestId("tile-status");

async function threeWithTheKey(person: (name: string) => Promise<Person>, room: string): Promise<Person[]> {
  const people: Person[] = [];
  for (const name of ["Ann", "Ben", "Cora"]) {
    const someone = await person(name);
    await someone.enters(room, { key: KEY });
    people.push(someone);
  }
  for (const someone of people) {
    await sees(someone.page, 2);
    await advances(someone.page);
    await expect.poll(() => heard(someone.page)).toBeGreaterThan(0);
    await expect(someone.page.getByTestId("encrypted")).toBeVisible();
  }
  return people;
}

test("three with the key see and hear each other through the server; who has another key sees nothing and is told", async ({
  person,
  room,
}) => {
  test.slow();
  const people = await threeWithTheKey(person, room);
  const [ann] = people as [Person];
  const dan = await person("Dan");
  await dan.enters(room, { key: OTHER_KEY });
  for (const name of ["Ann", "Ben", "Cora"]) await expect(status(dan, name)).toHaveText(words.call.keyMine);
  // Packets come, and nothing of them is shown or played.
  expect(await arrived(dan.page)).toBeGreaterThan(0);
  expect(await decoded(dan.page)).toBe(0);
  expect(await heard(dan.page)).toBe(0);
  for (const someone of people) {
    await expect(status(someone, "Dan")).toHaveText(words.call.keyTheirs);
    await expect(someone.tile("Dan").locator("video")).toHaveCount(0);
  }
  // The others are none the worse for it.
  await sees(ann.page, 2);
});

test("who comes without the key is told, gets nothing, and nothing of theirs is shown", async ({ person, room }) => {
  test.slow();
  const [ann] = (await threeWithTheKey(person, room)) as [Person];
  const eve = await person("Eve");
  await eve.enters(room);
  for (const name of ["Ann", "Ben", "Cora"]) await expect(status(eve, name)).toHaveText(words.call.keyMine);
  await expect(status(ann, "Eve")).toHaveText(words.call.keyTheirs);
  await expect(eve.page.getByTestId("encrypted")).toHaveCount(0);
  await eve.opensChat();
  await ann.opensChat();
  await ann.writes("for those with the key");
  await expect(ann.lines).toHaveCount(1);
  await sees(ann.page, 2);
  expect(await arrived(eve.page)).toBe(0);
  await expect(eve.lines).toHaveCount(0);
});

test("what somebody writes is read by the others, through the server that cannot", async ({ person, room, server }) => {
  test.slow();
  const [ann, ben, cora] = (await threeWithTheKey(person, room)) as [Person, Person, Person];
  for (const someone of [ann, ben, cora]) await someone.opensChat();
  await ann.writes("the cellar at nine");
  for (const someone of [ann, ben, cora]) await expect(someone.lines).toContainText("the cellar at nine");
  expect(server.log).not.toContain("the cellar at nine");
});

test("a file goes to the others of an encrypted call, through the server that cannot read it", async ({
  person,
  room,
}) => {
  test.slow();
  const [ann, ben, cora] = (await threeWithTheKey(person, room)) as [Person, Person, Person];
  const content = Buffer.alloc(1_500_000, "all of it, to the last word; ");
  await ann.sendsFile({ name: "minutes.txt", mimeType: "text/plain", buffer: content });
  for (const someone of [ben, cora]) {
    await someone.opensChat();
    const offer = someone.file("minutes.txt");
    await expect(offer).toContainText(words.files.serverSealed("Ann"));
    await offer.getByRole("button", { name: words.files.accept }).click();
    await expect(offer).toContainText(words.files.states.finishedIn, { timeout: 90_000 });
    const download = someone.page.waitForEvent("download");
    await offer.getByRole("button", { name: words.files.saveName("minutes.txt") }).click();
    const saved = await readFile(await (await download).path());
    expect(createHash("sha256").update(saved).digest("hex")).toBe(createHash("sha256").update(content).digest("hex"));
  }
});

test("two are encrypted from browser to browser as well, and a page that is loaded anew is, too", async ({
  person,
  room,
}) => {
  const ann = await person("Ann");
  const ben = await person("Ben");
  await ann.enters(room, { key: KEY });
  await ben.enters(room, { key: KEY });
  await talk(ann, ben);
  await expect(ann.tile("Ben").locator("video")).toBeVisible();
  await ben.page.reload();
  await expect(ben.bar).toBeVisible();
  await talk(ann, ben);
  await expect(ben.page.getByTestId("encrypted")).toBeVisible();
});

test("two with different keys are told, and see nothing", async ({ person, room }) => {
  const ann = await person("Ann");
  const ben = await person("Ben");
  await ann.enters(room, { key: KEY });
  await ben.enters(room, { key: OTHER_KEY });
  await expect(status(ann, "Ben")).toHaveText(words.call.keyMine);
  await expect(status(ben, "Ann")).toHaveText(words.call.keyMine);
  expect([await decoded(ann.page), await decoded(ben.page), await heard(ann.page), await heard(ben.page)]).toEqual([
    0, 0, 0, 0,
  ]);
});

test("a browser from before the standard takes part", async ({ person, room }) => {
  test.slow();
  const old = { noScriptTransform: true };
  const ann = await person("Ann");
  const ben = await person("Ben", old);
  await ann.enters(room, { key: KEY });
  await ben.enters(room, { key: KEY });
  await talk(ann, ben);
  const cora = await person("Cora");
  await cora.enters(room, { key: KEY });
  for (const someone of [ann, ben, cora]) await sees(someone.page, 2);
});

test("the server goes on choosing sizes of a picture that it cannot see", async ({ person, room }) => {
  test.slow();
  const ann = await person("Ann", { camera: { width: 1280, height: 720 } });
  const ben = await person("Ben", { context: { viewport: { width: 1600, height: 1200 } } });
  const cora = await person("Cora", { context: { viewport: { width: 420, height: 420 } } });
  for (const someone of [ann, ben, cora]) await someone.enters(room, { key: KEY });
  for (const someone of [ben, cora]) await sees(someone.page, 2);
  const height = (page: Page): Promise<number> =>
    page.getByRole("article", { name: words.call.tile("Ann"), exact: true }).evaluate((tile) => {
      return tile.querySelector("video")?.videoHeight ?? 0;
    });
  await expect
    .poll(async () => (await height(ben.page)) > (await height(cora.page)) && (await height(cora.page)) > 0, {
      timeout: 60_000,
    })
    .toBe(true);
});

test("a room is started with a key, and the link to share has it", async ({ person }) => {
  const ann = await person("Ann");
  await ann.page.goto("/");
  await ann.page.getByTestId("start-encrypted").check();
  await ann.page.getByTestId("start-room").click();
  await ann.page.waitForURL(/\/r\/[^#]+#key=[\w-]{22}$/);
  await expect(ann.page.getByTestId("green-encrypted")).toBeVisible();
  await ann.fillsIn();
  await ann.joins();
  await expect(ann.page.getByTestId("invite-link").first()).toHaveValue(ann.page.url());
});

test("a link whose key is damaged leads into no call", async ({ person, room }) => {
  const ann = await person("Ann");
  await ann.page.goto(`/r/${room}#key=q83vEjRW`);
  await expect(ann.page.getByTestId("blocked")).toHaveAttribute("data-why", "badKey");
});
