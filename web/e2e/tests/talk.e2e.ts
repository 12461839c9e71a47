// The main job: two people open a link and talk.
import { expect, test } from "../src/fixtures.ts";
import { flow } from "../src/measure.ts";
import { talk, words } from "../src/person.ts";

test("two people open a link, see and hear each other directly, and read the same safety words", async ({
  person,
  room,
}) => {
  const ann = await person("Ann");
  const ben = await person("Ben");
  await ann.enters(room);
  await ben.enters(room);
  await talk(ann, ben);

  for (const { page } of [ann, ben]) {
    const { pairs } = await flow(page);
    expect(pairs.length).toBeGreaterThan(0);
    for (const pair of pairs) expect([pair.local, pair.remote]).not.toContain("relay");
  }
  const [annWords, benWords] = [await ann.safetyWords(), await ben.safetyWords()];
  expect(annWords).toHaveLength(4);
  expect(annWords).toEqual(benWords);
  await ann.opensMore(words.more.stats);
  await expect(ann.dialog).toContainText(words.stats.direct);
});

test("the one who starts a room from the front page and the one who gets the link end up in the same call", async ({
  person,
}) => {
  const ann = await person("Ann");
  await ann.page.goto("/");
  await ann.page.getByTestId("start-room").click();
  await ann.page.waitForURL(/\/r\/[a-z]+(-[a-z]+)+$/);
  const link = ann.page.url();
  await ann.fillsIn();
  await ann.joins();
  const ben = await person("Ben");
  await ben.page.goto(link);
  await ben.fillsIn();
  await ben.joins();
  await talk(ann, ben);
});

test("pictures and voices play on: nothing that is measured or said starts them anew", async ({ person, room }) => {
  const ann = await person("Ann");
  const ben = await person("Ben");
  await ann.enters(room);
  await ben.enters(room);
  await talk(ann, ben);
  // Ten frames a second: long enough for the statistics, which come every two seconds, to come several times.
  const leastFrames = (): Promise<number> =>
    ann.page
      .locator("video")
      .evaluateAll((videos) =>
        Math.min(...videos.map((video) => (video as HTMLVideoElement).getVideoPlaybackQuality().totalVideoFrames)),
      );
  const voice = (): Promise<number> =>
    ann.page.locator("audio").evaluate((audio) => Math.floor((audio as HTMLAudioElement).currentTime));
  await expect.poll(leastFrames).toBeGreaterThan(60);
  await expect.poll(voice).toBeGreaterThan(6);
});

test("someone who leaves sees how long it lasted, the other hears of it, and coming back works", async ({
  person,
  room,
}) => {
  const ann = await person("Ann");
  const ben = await person("Ben");
  await ann.enters(room);
  await ben.enters(room);
  await talk(ann, ben);
  await ben.button(words.bar.leave).click();
  await ben.isTold("left");
  await expect(ann.tile("Ben")).toHaveCount(0);
  await expect(ben.page.getByTestId("lasted")).toBeVisible();
  await ben.page.getByTestId("rejoin").click();
  await ben.fillsIn();
  await ben.joins();
  await talk(ann, ben);
});
