// A camera that goes up as one stream of layers: the others see it, each in a size that suits the tile.
import type { Page } from "@playwright/test";
import { expect, test } from "../src/fixtures.ts";
import { words, type Person } from "../src/person.ts";
import { going, pictures, sees, sent } from "../src/pictures.ts";

/** Of two layers, 180 and 360 lines: there are few pixels to encode. */
const CAMERA = { width: 640, height: 360 };
const LAYERS = "L2T3_KEY";
const SMALL = 180;

/** Looks at others, and is not looked at. */
async function entersSilently(person: Person, room: string): Promise<void> {
  await person.opens(room);
  for (const device of ["green-microphone", "green-camera"]) await person.page.getByTestId(device).click();
  await person.joins();
  await expect(person.bar).toBeVisible();
}

async function prefers(page: Page, cameraCodec: string): Promise<void> {
  await page.addInitScript((codec) => {
    localStorage.setItem("tandem.preferences", JSON.stringify({ cameraCodec: codec }));
  }, cameraCodec);
}

async function sends(page: Page, what: string): Promise<void> {
  let before = await sent(page);
  await expect
    .poll(
      async () => {
        const after = await sent(page);
        const words = going(before, after);
        before = after;
        return words;
      },
      { message: `the camera goes as ${what}`, timeout: 60_000, intervals: [1_500] },
    )
    .toEqual([what]);
}

for (const [codec, name] of [
  ["vp9", "VP9"],
  ["av1", "AV1"],
] as const) {
  test(`a camera sent as ${name} in layers is seen by two, in the size of the tile of each`, async ({
    person,
    room,
  }) => {
    test.slow();
    const ann = await person("Ann", { camera: CAMERA });
    await prefers(ann.page, codec);
    await ann.enters(room);
    const ben = await person("Ben");
    await entersSilently(ben, room);
    const cora = await person("Cora", { context: { viewport: { width: 480, height: 420 } } });
    await entersSilently(cora, room);
    await sends(ann.page, `${name} ${LAYERS}`);
    await sees(ben.page, 1, ([height = 0]) => height > SMALL);
    await sees(cora.page, 1, ([height = 0]) => height > 0 && height <= SMALL);
    expect((await pictures(ben.page)).filter(({ decoded }) => decoded > 0)).toHaveLength(1);
  });
}

test("what the camera is sent in is changed during the call, and back", async ({ person, room }) => {
  test.slow();
  const ann = await person("Ann", { camera: CAMERA });
  await ann.enters(room);
  const [ben, cora] = [await person("Ben"), await person("Cora")];
  for (const each of [ben, cora]) await entersSilently(each, room);
  await sees(ben.page, 1);
  await ann.button(words.bar.more).click();
  await ann.page.getByTestId("more-settings").click();
  const connections = await ann.page.evaluate(() => window.spy.connections.length);
  for (const [value, what] of [
    ["vp9", `VP9 ${LAYERS}`],
    ["av1", `AV1 ${LAYERS}`],
    ["", "VP8 L1T3"],
  ] as const) {
    await ann.page.getByTestId("choose-codec").selectOption(value);
    await sends(ann.page, what);
    await sees(ben.page, 1, ([height = 0]) => height > SMALL);
    await sees(cora.page, 1, ([height = 0]) => height > SMALL);
  }
  expect(await ann.page.evaluate(() => window.spy.connections.length)).toBe(connections);
});

test("who lacks the codec is told so, and sees the camera when it goes otherwise", async ({ person, room }) => {
  test.slow();
  const ann = await person("Ann", { camera: CAMERA });
  await prefers(ann.page, "vp9");
  await ann.enters(room);
  const [ben, cora] = [await person("Ben"), await person("Cora")];
  await cora.page.addInitScript(() => {
    const all = RTCRtpReceiver.getCapabilities.bind(RTCRtpReceiver);
    RTCRtpReceiver.getCapabilities = (kind) => {
      const able = all(kind);
      return able && { ...able, codecs: able.codecs.filter(({ mimeType }) => mimeType !== "video/VP9") };
    };
  });
  for (const each of [ben, cora]) await entersSilently(each, room);
  await sees(ben.page, 1);
  await expect(cora.tile("Ann").getByTestId("tile-status")).toHaveText(words.call.missing, { timeout: 30_000 });
  await expect(cora.tile("Ann").locator("video")).toHaveCount(0);
  await ann.button(words.bar.more).click();
  await ann.page.getByTestId("more-settings").click();
  await ann.page.getByTestId("choose-codec").selectOption("");
  await sees(cora.page, 1);
  await expect(cora.tile("Ann").getByTestId("tile-status")).toHaveCount(0);
});
