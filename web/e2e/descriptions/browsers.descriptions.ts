// Chromium and Firefox, each talking to itself: core/sdp/tests/data/<browser>/<what>.sdp.
import { mkdir, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { once } from "node:events";
import { resolve } from "node:path";
import { chromium, test } from "@playwright/test";
import { launch } from "../src/chromium.ts";
import { Firefox } from "../src/firefox.ts";
import { record, type Descriptions } from "./conversation.ts";

const folder = resolve(import.meta.dirname, "../../../core/sdp/tests/data");

/** A page for peer connections to live on: `localhost` is a secure context. */
async function withPage(use: (url: string) => Promise<void>): Promise<void> {
  const server = createServer((_, response) => {
    response.setHeader("content-type", "text/html").end("<!doctype html><title>descriptions</title>");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  try {
    await use(`http://localhost:${typeof address === "object" ? (address?.port ?? 0) : 0}/`);
  } finally {
    server.close();
  }
}

/** Lines before `v=` say where it comes from; readers take them off. */
async function keep(browser: string, version: string, found: Descriptions): Promise<void> {
  await mkdir(resolve(folder, browser), { recursive: true });
  for (const [name, sdp] of Object.entries(found)) {
    const head = `# ${version}, headless on Linux; recorded by scripts/descriptions.\r\n`;
    await writeFile(resolve(folder, browser, `${name}.sdp`), head + sdp);
  }
}

test("Chromium", async () => {
  const browser = await chromium.launch(launch());
  await withPage(async (url) => {
    const page = await browser.newPage();
    await page.goto(url);
    await keep("chromium", `Chromium ${browser.version()}`, await page.evaluate(record));
  });
  await browser.close();
});

test("Firefox", async () => {
  const browser = await Firefox.start();
  await withPage(async (url) => {
    await browser.opens(url);
    const start = `(${record.toString()})().then((found) => (window.found = found), (error) => (window.failed = String(error)))`;
    await browser.value(`void ${start}`);
    await browser.sees("window.found || window.failed");
    const failed = await browser.value("window.failed");
    if (typeof failed === "string") throw new Error(failed);
    const version = String(await browser.value("navigator.userAgent.match(/Firefox.*/)[0].replace('/', ' ')"));
    await keep("firefox", version, (await browser.value("window.found")) as Descriptions);
  });
  await browser.close();
});
