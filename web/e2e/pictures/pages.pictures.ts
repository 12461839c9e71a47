// Every page, light, dark and on a phone, with drawn people in place of cameras.
import { resolve } from "node:path";
import type { BrowserContextOptions, Page } from "@playwright/test";
import { expect, test } from "../src/fixtures.ts";
import { talk, words, type Person } from "../src/person.ts";
import { scenes, sitInFront } from "./scene.ts";

const folder = resolve(import.meta.dirname, "../../../docs/pictures");

type Look = "light" | "dark" | "phone";
const looks: Record<Look, BrowserContextOptions> = {
  light: { colorScheme: "light", viewport: { width: 1152, height: 720 } },
  dark: { colorScheme: "dark", viewport: { width: 1152, height: 720 } },
  phone: {
    colorScheme: "light",
    viewport: { width: 390, height: 780 },
    deviceScaleFactor: 1.5,
    isMobile: true,
    hasTouch: true,
  },
};

async function picture(page: Page, name: string): Promise<void> {
  // Toasts and transitions are over, fonts are there.
  await expect(page.getByTestId("toasts").locator("> *")).toHaveCount(0);
  await page.evaluate(() => document.fonts.ready);
  await page.screenshot({ path: resolve(folder, `${name}.png`), animations: "disabled", caret: "hide" });
}

/** Every picture there is has reached this width, and was painted for a while. */
async function sharp({ page }: Person, width: number): Promise<void> {
  const ready = (): Promise<boolean> =>
    page.locator("video").evaluateAll(
      (videos, least) =>
        videos.every((video) => {
          const { videoWidth, getVideoPlaybackQuality } = video as HTMLVideoElement;
          return videoWidth >= least && getVideoPlaybackQuality.call(video).totalVideoFrames > 30;
        }),
      width,
    );
  await expect.poll(ready, { timeout: 120_000 }).toBe(true);
}

/** A room of its own for each look, with the plain name in the first. */
const named = (room: string, look: Look): string => (look === "light" ? room : `${room}-${look}`);

async function seat(person: Person, scene: keyof typeof scenes): Promise<Person> {
  await person.page.addInitScript(sitInFront, scenes[scene]);
  return person;
}

for (const look of ["light", "dark", "phone"] as const) {
  test(`pages around a call: ${look}`, async ({ person }) => {
    const mira = await seat(await person("Mira", { context: looks[look], mayLog: /404.*no\/such\/page/ }), "mira");
    const { page } = mira;
    for (const [name, path] of Object.entries({
      landing: "/",
      help: "/help",
      api: "/api",
      "not-found": "/no/such/page",
    })) {
      await page.goto(path);
      await expect(page.getByRole("heading", { level: 1 })).toBeVisible();
      await page.waitForLoadState("networkidle");
      if (name === "landing") await page.getByTestId("room-name").fill("sunday-coffee");
      await picture(page, `${name}-${look}`);
    }
    const room = named("sunday-coffee", look);
    await mira.opens(room);
    await picture(page, `green-room-${look}`);
    await mira.joins();
    await expect(page.getByTestId("alone")).toBeVisible();
    await picture(page, `alone-${look}`);
    await mira.button(words.bar.leave).click();
    await mira.isTold("left");
    await picture(page, `end-${look}`);
  });

  test(`a call: ${look}`, async ({ person }) => {
    const mira = await seat(await person("Mira", { context: looks[look] }), "mira");
    const jonas = await seat(await person("Jonas"), "jonas");
    const room = named("coffee-with-jonas", look);
    await mira.enters(room);
    await jonas.enters(room);
    await talk(mira, jonas);
    await sharp(mira, 960);
    await picture(mira.page, `call-${look}`);
    await mira.opensChat();
    await jonas.opensChat();
    await jonas.writes("Can you see the second page of the plan?");
    await mira.writes("Yes, it is sharp now.");
    await jonas.writes("Good. I am sending you the whole of it.");
    await jonas.sendsFile({ name: "garden-plan.pdf", mimeType: "application/pdf", buffer: Buffer.alloc(2_400_000, 7) });
    await expect(mira.file("garden-plan.pdf")).toBeVisible();
    await expect(mira.lines).toHaveCount(3);
    await picture(mira.page, `chat-${look}`);
    await mira.opensPeople();
    await picture(mira.page, `people-${look}`);
    await mira.page.keyboard.press("Escape");
    await mira.opensMore(words.more.stats);
    await picture(mira.page, `connection-${look}`);
  });
}

for (const look of ["light", "dark"] as const) {
  test(`three in a call: ${look}`, async ({ person }) => {
    const mira = await seat(await person("Mira", { context: looks[look] }), "mira");
    const others = [await seat(await person("Jonas"), "jonas"), await seat(await person("Amara"), "amara")];
    const room = named("garden-plan", look);
    await mira.enters(room);
    for (const other of others) await other.enters(room);
    await talk(mira, ...others);
    await sharp(mira, 640);
    await picture(mira.page, look === "light" ? "call" : "call-three-dark");
  });
}

test("someone rings", async ({ person }) => {
  const mira = await seat(await person("Mira", { context: looks.light }), "mira");
  const jonas = await seat(await person("Jonas", { context: looks.phone }), "jonas");
  await mira.enters("front-door", { door: "call" });
  await jonas.opens("front-door", { door: "call" });
  await jonas.joins();
  await expect(mira.ring("Jonas")).toBeVisible();
  await picture(mira.page, "ring-light");
  await picture(jonas.page, "ringing-phone");
});
