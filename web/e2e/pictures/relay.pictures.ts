// The relay's page, light, dark and on a phone: signing in, keys and what is below them, the connection test.
import { resolve } from "node:path";
import type { BrowserContextOptions } from "@playwright/test";
import { expect, test } from "../src/fixtures.ts";
import { draw } from "./relay-scene.ts";

const folder = resolve(import.meta.dirname, "../../../docs/pictures");

const looks: Record<"light" | "dark" | "phone", BrowserContextOptions> = {
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

for (const look of ["light", "dark", "phone"] as const) {
  test(`the relay's page: ${look}`, async ({ person, server }) => {
    const { page } = await person("Mira", { context: looks[look] });
    const picture = async (name: string, fullPage: boolean): Promise<void> => {
      await expect(page.getByTestId("toasts").locator("> *")).toHaveCount(0);
      await page.evaluate(() => (scrollTo(0, 0), document.fonts.ready));
      const path = resolve(folder, `${name}-${look}.png`);
      await page.screenshot({ path, fullPage, animations: "disabled", caret: "hide" });
    };
    await draw(page);
    await page.goto("/relay");
    await expect(page.getByTestId("sign-in")).toBeVisible();
    await picture("relay-sign-in", false);
    await page.getByTestId("operator-key").fill(await server.command("key", "create", "--name", "mira"));
    await page.getByTestId("go").click();
    await expect(page.getByTestId("session")).toHaveCount(4);
    await page.getByTestId("check").click();
    await expect(page.getByTestId("verdict")).toHaveAttribute("data-verdict", "all");
    await picture("relay", true);
    await page.getByTestId("edit-key").first().click();
    await expect(page.getByTestId("key-dialog")).toBeVisible();
    await picture("relay-key", false);
  });
}
