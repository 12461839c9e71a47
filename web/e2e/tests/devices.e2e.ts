// Cameras, microphones, screens.
import { expect, test } from "../src/fixtures.ts";
import { advances } from "../src/measure.ts";
import { talk, words } from "../src/person.ts";

test("camera off ends the track, so that its light goes out, and on again brings the picture back", async ({
  person,
  room,
}) => {
  const ann = await person("Ann");
  const ben = await person("Ben");
  await ann.enters(room);
  await ben.enters(room);
  await talk(ann, ben);

  const liveCameras = (): Promise<number> =>
    ann.page.evaluate(
      () => window.spy.tracks.filter(({ kind, readyState }) => kind === "video" && readyState === "live").length,
    );
  expect(await liveCameras()).toBe(1);
  const camera = ann.button(words.bar.camera);
  await camera.click();
  await expect(camera).toHaveAttribute("aria-pressed", "false");
  await expect.poll(liveCameras).toBe(0);
  await expect(ben.tile("Ann").locator("video")).toHaveCount(0);
  await advances(ben.page, ["audioPackets"]);

  await camera.click();
  await expect(camera).toHaveAttribute("aria-pressed", "true");
  await expect.poll(liveCameras).toBe(1);
  await expect(ben.tile("Ann").locator("video")).toBeVisible();
  await advances(ben.page);
});

test("a muted microphone says so to the others", async ({ person, room }) => {
  const ann = await person("Ann");
  const ben = await person("Ben");
  await ann.enters(room);
  await ben.enters(room);
  await talk(ann, ben);
  const microphone = ann.button(words.bar.microphone);
  await microphone.click();
  await expect(microphone).toHaveAttribute("aria-pressed", "false");
  await expect(ben.tile("Ann")).toContainText(words.call.muted);
  await microphone.click();
  await expect(ben.tile("Ann")).not.toContainText(words.call.muted);
});

test("a shared screen is seen, announced as a whole screen, and stopped", async ({ person, room }) => {
  const ann = await person("Ann");
  const ben = await person("Ben");
  await ann.enters(room);
  await ben.enters(room);
  await talk(ann, ben);
  await ann.sharesScreen();
  await expect(ann.page.getByTestId("sharing")).toContainText(words.share.wholeTitle);
  const screen = ben.page.getByRole("article", { name: words.call.screenOf("Ann") });
  await expect(screen.locator("video")).toBeVisible();
  await expect(ben.tile("Ann")).toContainText(words.call.presenting);
  await expect
    .poll(() => screen.locator("video").evaluate((video: HTMLVideoElement) => video.videoWidth))
    .toBeGreaterThan(0);
  await advances(ben.page);

  await ann.page.getByRole("button", { name: words.share.stop }).click();
  await expect(screen).toHaveCount(0);
  await expect(ann.page.getByTestId("sharing")).toHaveCount(0);
  const screens = await ann.page.evaluate(() => window.spy.screens.map(({ readyState }) => readyState));
  expect(new Set(screens)).toEqual(new Set(["ended"]));
  await talk(ann, ben);
});

test("someone without camera and microphone is told so, joins anyway, sees and hears", async ({ person, room }) => {
  const ann = await person("Ann");
  const ben = await person("Ben", { noDevices: true });
  await ann.enters(room);
  await ben.page.goto(`/r/${room}`);
  await ben.page.getByLabel(words.green.name, { exact: true }).fill("Ben");
  await expect(ben.page.getByTestId("device-trouble")).toContainText(words.errors.noDevice.both);
  await ben.page.getByRole("button", { name: words.green.joinSilent }).click();
  await expect(ben.bar).toBeVisible();
  await advances(ben.page);
  await expect(ann.tile("Ben")).toContainText(words.call.muted);
});

test("whoever has everything off turns both on with one press", async ({ person, room }) => {
  const { page } = await person("Ann");
  await page.addInitScript(() =>
    localStorage.setItem("tandem.preferences", JSON.stringify({ microphoneOn: false, cameraOn: false })),
  );
  await page.goto(`/r/${room}`);
  // The browser's own button where it has one, else ours, which stands inside it.
  const own = await page.evaluate(() => "HTMLUserMediaElement" in window);
  await page.getByTestId(own ? "capture" : "ask-devices").click();
  await expect(page.getByTestId("preview")).toBeVisible();
  for (const device of ["green-microphone", "green-camera"]) {
    await expect(page.getByTestId(device)).toHaveAttribute("aria-pressed", "true");
  }
  await page.getByTestId("join").click();
  await expect(page.getByLabel(words.bar.label)).toBeVisible();
});
