// For everyone: by keyboard, by screen reader, on a phone, in another language.
import { accessible } from "../src/axe.ts";
import { expect, test } from "../src/fixtures.ts";
import { talk, words } from "../src/person.ts";

for (const colorScheme of ["light", "dark"] as const) {
  test(`axe finds nothing serious on the pages around a call: ${colorScheme}`, async ({ person, room }) => {
    const ann = await person("Ann", { context: { colorScheme }, mayLog: /404.*no\/such\/page/ });
    for (const path of ["/", "/help", "/api", "/no/such/page"]) {
      await ann.page.goto(path);
      await expect(ann.page.getByRole("heading", { level: 1 })).toBeVisible();
      await ann.page.waitForLoadState("networkidle");
      await accessible(ann.page, path);
    }
    await ann.page.goto(`/r/${room}`);
    await expect(ann.page.getByTestId("join")).toBeVisible();
    await accessible(ann.page, "the green room, camera off");
    await ann.fillsIn();
    await accessible(ann.page, "the green room, camera on");
    await ann.joins();
    await expect(ann.page.getByText(words.call.alone, { exact: true })).toBeVisible();
    await accessible(ann.page, "alone in the call");
    await ann.button(words.bar.leave).click();
    await ann.isTold("left");
    await accessible(ann.page, "the end");
  });

  test(`axe finds nothing serious in a call, whatever is open: ${colorScheme}`, async ({ person, room }) => {
    const ann = await person("Ann", { context: { colorScheme } });
    const ben = await person("Ben");
    await ann.enters(room);
    await ben.enters(room);
    await talk(ann, ben);
    await accessible(ann.page, "the call");
    await ann.opensChat();
    await ben.opensChat();
    await ben.writes("Can you read this?");
    await ben.sendsFile({ name: "plan.pdf", mimeType: "application/pdf", buffer: Buffer.alloc(1000) });
    await expect(ann.file("plan.pdf")).toBeVisible();
    await accessible(ann.page, "chat with a line and an offered file");
    await ann.opensPeople();
    await accessible(ann.page, "people");
    await ann.page.getByTestId("safety-words").click();
    await accessible(ann.page, "safety words");
    await ann.page.keyboard.press("Escape");
    await ann.button(words.bar.more).click();
    await accessible(ann.page, "the menu");
    await ann.page.keyboard.press("Escape");
    for (const entry of [words.more.stats, words.more.invite, words.more.settings, words.more.shortcuts]) {
      await ann.opensMore(entry);
      await accessible(ann.page, entry);
      await ann.page.keyboard.press("Escape");
    }
    await ann.button(words.bar.share).click();
    await accessible(ann.page, "what to share");
    await ann.page.getByTestId("share-detail").click();
    await expect(ann.page.getByTestId("sharing")).toBeVisible();
    await accessible(ann.page, "sharing the screen");
  });
}

test("from the front page into a call and out again by keyboard alone", async ({ person }) => {
  const ann = await person("Ann");
  const { page } = ann;
  const press = async (...keys: string[]): Promise<void> => {
    for (const key of keys) await page.keyboard.press(key);
  };
  /** Tabs until the focus is on it: everything must be reachable, and nothing may trap. */
  const reach = async (name: string | RegExp): Promise<void> => {
    for (let steps = 0; steps < 60; steps += 1) {
      await press("Tab");
      const focused = await page.evaluate(() => {
        const at = document.activeElement;
        if (!(at instanceof HTMLElement)) return "";
        const labelledBy = document.getElementById(at.getAttribute("aria-labelledby") ?? "")?.textContent;
        const label = at instanceof HTMLInputElement ? at.labels?.[0]?.textContent : null;
        return (at.getAttribute("aria-label") ?? labelledBy ?? label ?? at.textContent ?? "").trim();
      });
      if (typeof name === "string" ? focused === name : name.test(focused)) return;
    }
    throw new Error(`"${String(name)}" was not reached in 60 tabs`);
  };
  await page.goto("/");
  await expect(page.getByTestId("start-room")).toBeVisible();
  await reach(words.landing.start);
  await press("Enter");
  await expect(page.getByTestId("join")).toBeVisible();
  await expect(page.getByTestId("preview")).toBeVisible();
  await reach(words.green.name);
  await page.keyboard.type("Ann");
  await reach(words.green.hide);
  await press("Space", "Space");
  await reach(words.green.join);
  await press("Enter");
  await expect(ann.bar).toBeVisible();
  const microphone = ann.button(words.bar.microphone);
  await expect(microphone).toHaveAttribute("aria-pressed", "true");
  await press("m");
  await expect(microphone).toHaveAttribute("aria-pressed", "false");
  await press("m");
  await expect(microphone).toHaveAttribute("aria-pressed", "true");
  await press("c");
  await expect(page.getByTestId("chat-field")).toBeFocused();
  await page.keyboard.type("m is a letter here");
  await press("Enter");
  await expect(ann.lines).toHaveText([/m is a letter here/]);
  await expect(microphone).toHaveAttribute("aria-pressed", "true");
  await press("Escape");
  await expect(page.getByTestId("chat-field")).toBeHidden();
  await reach(words.bar.leave);
  await press("Enter");
  await ann.isTold("left");
  await reach(words.end.newRoom);
});

test("on a phone everything is there and nothing hangs over the edge", async ({ person, room }) => {
  const ann = await person("Ann", {
    context: { viewport: { width: 360, height: 740 }, deviceScaleFactor: 2, hasTouch: true, isMobile: true },
  });
  const ben = await person("Ben");
  const fits = async (state: string): Promise<void> => {
    const over = await ann.page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
    expect(over, `pixels over the edge: ${state}`).toBeLessThanOrEqual(0);
  };
  for (const path of ["/", "/help", "/api"]) {
    await ann.page.goto(path);
    await expect(ann.page.getByRole("heading", { level: 1 })).toBeVisible();
    await ann.page.waitForLoadState("networkidle");
    await fits(path);
  }
  await ann.opens(room);
  await fits("the green room");
  await ann.joins();
  await ben.enters(room);
  await talk(ann, ben);
  await fits("the call");
  for (const name of [words.bar.microphone, words.bar.camera, words.bar.chat, words.bar.leave]) {
    const box = (await ann.button(name).boundingBox()) ?? { x: 0, width: 0, height: 0 };
    expect(Math.min(box.width, box.height), `${name} is large enough for a finger`).toBeGreaterThanOrEqual(40);
    expect(box.x + box.width, `${name} is on the page`).toBeLessThanOrEqual(360);
  }
  await ann.opensChat();
  await fits("the chat");
  await ann.writes("From a phone");
  await expect(ann.lines).toHaveText([/From a phone/]);
  await accessible(ann.page, "the chat on a phone");
});

test("German is one choice away, and stays chosen", async ({ person, room }) => {
  const ann = await person("Ann");
  await ann.page.goto("/");
  await ann.page.getByTestId("language").selectOption("de");
  await expect(ann.page.locator("html")).toHaveAttribute("lang", "de");
  await expect(ann.page.getByRole("heading", { level: 1 })).not.toHaveText(words.landing.title);
  await ann.page.goto(`/r/${room}`);
  await expect(ann.page.locator("html")).toHaveAttribute("lang", "de");
  await expect(ann.page.getByLabel("Dein Name").or(ann.page.getByLabel("Ihr Name"))).toBeVisible();
});

test("a browser that speaks German gets German at once", async ({ person }) => {
  const ann = await person("Ann", { context: { locale: "de-AT" } });
  await ann.page.goto("/");
  await expect(ann.page.locator("html")).toHaveAttribute("lang", "de");
});
