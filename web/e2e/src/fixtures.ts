// What every test gets: a server, and people with browsers. What no test may pass with: a policy violation, an error of
// the page, a request to anybody but the server.
import {
  test as base,
  expect,
  type Browser,
  type BrowserContextOptions,
  type ConsoleMessage,
  type TestInfo,
} from "@playwright/test";
import { Person } from "./person.ts";
import { TandemServer, type Settings } from "./server.ts";
import { install, type Handicap } from "./spy.ts";

export { expect };

export interface Arrival extends Handicap {
  readonly context?: BrowserContextOptions;
  /** Another one than the tests' own. */
  readonly browser?: Browser;
  /** Lines on the console this test brings about on purpose. */
  readonly mayLog?: RegExp;
}

interface Fixtures {
  /** Opens a browser of its own for somebody. */
  person: (name: string, arrival?: Arrival) => Promise<Person>;
  /** A name no other test uses. */
  room: string;
  /** The server this test talks to: the worker's, or one of its own with `test.use({ settings: {…} })`. */
  server: TandemServer;
  /** Settings, or `own: true`, make a server for this test alone. */
  settings: Settings | null;
}

export const test = base.extend<Fixtures, { shared: TandemServer }>({
  settings: [null, { option: true }],

  shared: [
    // eslint-disable-next-line no-empty-pattern -- Playwright reads the names out of the pattern
    async ({}, use) => {
      const server = await TandemServer.start();
      await use(server);
      await server.remove();
    },
    { scope: "worker", timeout: 120_000 },
  ],

  server: async ({ shared, settings }, use, info) => {
    const server = settings ? await TandemServer.start(settings) : shared;
    const seen = server.log.length;
    await use(server);
    if (info.status !== info.expectedStatus) {
      await info.attach("server log", { body: server.log.slice(settings ? 0 : seen), contentType: "text/plain" });
    }
    if (settings) await server.remove();
  },

  // eslint-disable-next-line no-empty-pattern -- as above
  room: async ({}, use, info) => {
    await use(`test-${info.parallelIndex}-${Date.now().toString(36)}${Math.floor(Math.random() * 1e6).toString(36)}`);
  },

  person: async ({ browser, server }, use, info) => {
    const people: Person[] = [];
    const complaints: string[] = [];
    await use(async (name, arrival = {}) => {
      const { context: options, browser: own, mayLog, ...handicap } = arrival;
      const context = await (own ?? browser).newContext({
        baseURL: server.origin,
        ignoreHTTPSErrors: true,
        locale: "en-GB",
        permissions: ["camera", "microphone"],
        viewport: { width: 1100, height: 700 },
        ...options,
      });
      await context.addInitScript(install, handicap);
      const complain = (what: string): void => {
        if (!mayLog?.test(what)) complaints.push(`${name}: ${what}`);
      };
      context.on("console", (message) => {
        if (isComplaint(message)) complain(`console: ${message.text()} (${message.location().url})`);
      });
      context.on("weberror", (error) => complain(`page error: ${error.error().stack ?? error.error().message}`));
      context.on("request", (request) => {
        const { origin, protocol } = new URL(request.url());
        if (origin !== server.origin && protocol !== "blob:" && protocol !== "data:")
          complain(`request to ${request.url()}`);
      });
      const page = await context.newPage();
      const person = new Person(name, page);
      people.push(person);
      return person;
    });
    for (const person of people) complaints.push(...(await violations(person)));
    if (info.status !== info.expectedStatus) await attach(info, people);
    await Promise.all(people.map((person) => person.page.context().close()));
    expect(complaints, "nothing on the console, no policy violation, no foreign request").toEqual([]);
  },
});

function isComplaint(message: ConsoleMessage): boolean {
  return message.type() === "error" || /Content Security Policy|Trusted ?Type/i.test(message.text());
}

async function violations(person: Person): Promise<string[]> {
  if (person.page.isClosed()) return [];
  const found = await person.page.evaluate(() => window.spy?.violations ?? []).catch(() => []);
  return found.map((violation) => `${person.name}: policy: ${violation}`);
}

async function attach(info: TestInfo, people: readonly Person[]): Promise<void> {
  for (const { name, page } of people) {
    const path = info.outputPath(`${name}.png`);
    await page.screenshot({ path, timeout: 5_000 }).catch(() => undefined);
    const text = await page
      .locator("body")
      .innerText({ timeout: 2_000 })
      .catch((error: unknown) => String(error));
    await info.attach(`${name} sees`, { body: text, contentType: "text/plain" });
  }
}
