// The relay as a service, as whoever runs the server sees it: keys, live sessions, usage, the connection test.
import type { Page } from "@playwright/test";
import { accessible } from "../src/axe.ts";
import { expect, test } from "../src/fixtures.ts";
import type { TandemServer } from "../src/server.ts";

async function signIn(page: Page, server: TandemServer): Promise<void> {
  await page.goto("/relay");
  await page.getByTestId("operator-key").fill(await server.command("key", "create", "--name", "e2e"));
  await page.getByTestId("go").click();
  await expect(page.getByTestId("add-key")).toBeVisible();
}

/** Somebody who gets a credential with this key and relays over TCP, in this page, until the page is left. */
async function relays(page: Page, secret: string, tag: string): Promise<void> {
  await page.evaluate(
    async ([secret, tag]) => {
      const headers = { authorization: `Bearer ${secret}`, "content-type": "application/json" };
      const body = JSON.stringify({ ttl: 600, tag });
      const answer = await fetch("/api/v1/turn/credentials", { method: "POST", headers, body });
      const { ice_servers: servers } = (await answer.json()) as { ice_servers: RTCIceServer[] };
      const iceServers = servers.map((server) => ({
        ...server,
        urls: [server.urls].flat().filter((url) => url.includes("transport=tcp") && url.startsWith("turn:")),
      }));
      const connection = new RTCPeerConnection({
        iceServers: iceServers.filter(({ urls }) => urls.length > 0),
        iceTransportPolicy: "relay",
      });
      connection.createDataChannel("held");
      const found = new Promise<void>((done) => {
        connection.addEventListener("icecandidate", ({ candidate }) => {
          if (candidate?.type === "relay") done();
        });
      });
      await connection.setLocalDescription();
      await found;
      Object.assign(globalThis, { held: connection });
    },
    [secret, tag] as const,
  );
}

test("a key is made, hands out a credential, and a live session with it is ended from the page", async ({
  person,
  server,
}) => {
  const ann = await person("Ann");
  const { page } = ann;
  await page.goto("/relay");
  await expect(page.getByTestId("sign-in")).toBeVisible();
  await accessible(page, "signing in");
  await signIn(page, server);
  const name = `shop ${Date.now()}`;
  await page.getByTestId("add-key").click();
  await page.getByTestId("key-name").fill(name);
  await page.getByTestId("key-sessions").fill("5");
  await page.getByTestId("key-monthly").fill("1.5");
  await page.getByTestId("key-rate").fill("8");
  await accessible(page, "making a key");
  await page.getByTestId("key-save").click();
  const secret = await page.getByTestId("secret").inputValue();
  expect(secret).toMatch(/^ta_[0-9a-f]{12}_/);
  await accessible(page, "the secret");
  await page.getByTestId("secret-done").click();
  const key = page.getByTestId("key").filter({ hasText: name });
  await expect(key).toContainText("1.5 GB");
  await expect(key).toContainText("at most 8 Mbit/s");

  // Another page of the same browser relays: a session from each of its addresses.
  const client = await page.context().newPage();
  await client.goto("/help");
  await relays(client, secret, "ann");
  const sessions = page.getByTestId("session").filter({ hasText: name });
  await expect(sessions.first()).toContainText("ann");
  await expect(sessions.first()).toContainText("TCP");
  await accessible(page, "keys, live sessions, usage");
  await page.getByTestId("sessions-key").selectOption(await key.getAttribute("data-key"));
  await page.getByTestId("sessions-tag").fill("nobody");
  await expect(sessions).toHaveCount(0);
  await page.getByTestId("sessions-tag").fill("ann");
  await expect(sessions.first()).toBeVisible();
  const kicked = await sessions.first().getAttribute("data-session");
  await sessions.first().getByTestId("end-session").click();
  await accessible(page, "ending a session");
  await page.getByTestId("end-yes").click();
  await expect(page.locator(`[data-session="${kicked ?? ""}"]`)).toHaveCount(0);

  // It may come again, until its label is taken back.
  await relays(client, secret, "ann");
  await expect(sessions.first()).toBeVisible();
  await sessions.first().getByTestId("end-session").click();
  await page.getByTestId("end-label").click();
  await expect(sessions).toHaveCount(0);

  await key.getByTestId("edit-key").click();
  await page.getByTestId("key-enabled").setChecked(false);
  await page.getByTestId("key-save").click();
  await expect(key).toContainText("Disabled");
  await key.getByTestId("edit-key").click();
  await page.getByTestId("key-remove").click();
  await accessible(page, "removing a key");
  await page.getByTestId("sure").click();
  await expect(key).toHaveCount(0);

  // The key stays in this tab, over a reload, and goes when asked to.
  await page.reload();
  await expect(page.getByTestId("add-key")).toBeVisible();
  await page.getByTestId("sign-out").click();
  await page.reload();
  await expect(page.getByTestId("sign-in")).toBeVisible();
  expect(await page.evaluate(() => localStorage.length + sessionStorage.length)).toBe(0);
});

test("the connection test goes every way to the relay, and what it relays is in the books", async ({
  person,
  server,
}) => {
  const { page } = await person("Ann", { context: { colorScheme: "dark" } });
  await signIn(page, server);
  const live = async (): Promise<string[]> =>
    (await server.command("turn", "sessions")).split("\n").flatMap((line) => line.split("  ", 1));
  const before = await live();
  await page.evaluate(() => {
    const made: RTCPeerConnection[] = [];
    const Real = RTCPeerConnection;
    class Counted extends Real {
      constructor(configuration?: RTCConfiguration) {
        super(configuration);
        made.push(this);
      }
    }
    Object.assign(globalThis, { made, RTCPeerConnection: Counted });
  });
  await page.getByTestId("check").click();
  await expect(page.getByTestId("verdict")).toHaveAttribute("data-verdict", "all");
  await expect(page.getByTestId("relayed")).toHaveAttribute("data-state", "works");
  // One connection for each way, and what they held at the relay is given back.
  const left = await page.evaluate(() =>
    (globalThis as unknown as { made: RTCPeerConnection[] }).made.map(({ signalingState }) => signalingState),
  );
  expect(left).toEqual(Array.from({ length: 5 }, () => "closed"));
  await expect.poll(async () => (await live()).filter((id) => id !== "" && !before.includes(id))).toEqual([]);
  const states = await page
    .getByTestId("way")
    .evaluateAll((rows) => rows.map((row) => [row.dataset["way"], row.dataset["state"]]));
  expect(states).toEqual(["stun", "udp", "tcp", "tls", "https"].map((way) => [way, "works"]));
  await accessible(page, "the test");
  // Threads of the relay tell every ten seconds, the page asks every fifteen.
  await page.getByTestId("range-hour").click();
  await expect(page.getByTestId("usage-line").first()).toContainText("Calls of this server", { timeout: 60_000 });
  await accessible(page, "usage");
});

test("a wrong key is told to be one", async ({ person }) => {
  const { page } = await person("Ann", { mayLog: /401/ });
  await page.goto("/relay");
  await page.getByTestId("operator-key").fill("tk_000000000000_x");
  await page.getByTestId("go").click();
  await expect(page.getByRole("alert")).toContainText("does not know this key");
});

test("from an address that lets nothing through, the test says so", async ({ person, server }) => {
  const { page } = await person("Ann");
  await signIn(page, server);
  // A firewall in the browser: nothing but the page's own port is let out.
  await page.evaluate(() => {
    const Real = RTCPeerConnection;
    class Walled extends Real {
      constructor(configuration?: RTCConfiguration) {
        const walled = (url: string): string =>
          url.includes(`:${location.port}?`) ? url : url.replace(/:\d+(\?|$)/, ":9$1");
        const iceServers = (configuration?.iceServers ?? []).map((server) => ({
          ...server,
          urls: [server.urls].flat().map(walled),
        }));
        super({ ...configuration, iceServers });
      }
    }
    globalThis.RTCPeerConnection = Walled;
  });
  await page.getByTestId("check").click();
  await expect(page.getByTestId("verdict")).toHaveAttribute("data-verdict", "only-https", { timeout: 90_000 });
  await expect(page.locator('[data-testid="way"][data-state="fails"]')).toHaveCount(4);
});
