// Few publish, and many only watch: browsers beside fifty clients of `tandem bench sfu`.
import { expect, test } from "../src/fixtures.ts";
import { words, type Person } from "../src/person.ts";
import { sees } from "../src/pictures.ts";

test.use({ settings: { TANDEM_MEDIA_ADDRESSES: "127.0.0.1" } });

/** Says nothing, so that the fifty go on watching whom they watch. */
async function entersSilently(person: Person, room: string, off: readonly string[]): Promise<void> {
  await person.opens(room);
  for (const device of off) await person.page.getByTestId(device).click();
  await person.joins();
  await expect(person.bar).toBeVisible();
}

test("fifty watch a publisher, and the browsers beside them notice nothing", async ({ person, room, server }) => {
  test.slow();
  const ben = await person("Ben");
  await entersSilently(ben, room, ["green-microphone", "green-camera"]);
  const load = server.command(
    ...["bench", "sfu", "--insecure", "--url", server.origin, "--room", room, "--seconds", "20"],
    ...["--publishers", "1", "--video", "300k", "--audio", "--subscribers", "50", "--threads", "1", "--max-loss", "50"],
  );
  const people = ben.page.getByRole("button", { name: new RegExp(`^${words.bar.people}`) });
  await expect(people).toContainText("52", { timeout: 90_000 });
  const ann = await person("Ann");
  await entersSilently(ann, room, ["green-microphone"]);
  await expect(people).toContainText("53");
  await sees(ben.page, 1);
  await ben.tile("Ann").locator("video").waitFor();
  // Another exit code than 0 tells that somebody did not get in, or got nothing worth looking at.
  await load;
  await expect(people).toContainText("2", { timeout: 60_000 });
  await sees(ben.page, 1);
});
