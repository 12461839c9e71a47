// Who may send, invitations, breakout rooms and captions, by several people in real browsers.
import type { Page } from "@playwright/test";
import { createHmac } from "node:crypto";
import { newCallKey } from "../../sdk/src/encryption/key.ts";
import { expect, test } from "../src/fixtures.ts";
import { talk, words, type Person } from "../src/person.ts";
import type { TandemServer } from "../src/server.ts";

const NEEDED = { settings: { TANDEM_ROOMS_TOKENS: "true" } };
const all = ["your microphone", "your camera", "your screen"];

test("newcomers only watch, ask for the floor, get it, are seen, and lose it again", async ({ person, room }) => {
  test.slow();
  const ann = await person("Ann");
  await ann.enters(room);
  await ann.opensPeople();
  await ann.page.getByRole("switch", { name: words.people.newcomers }).check();
  const ben = await person("Ben");
  await ben.enters(room);
  await expect(ben.page.getByTestId("watching")).toContainText(words.call.watching);
  for (const name of [words.bar.microphone, words.bar.camera]) {
    await expect(ben.button(name)).toHaveAttribute("aria-pressed", "false");
    await expect(ben.button(name)).toHaveAttribute("aria-disabled", "true");
  }
  await expect(ben.tile("Ann").locator("video")).toBeVisible();
  await ben.page.keyboard.press("m");
  await expect(ben.notice(words.bar.watching)).toBeVisible();
  await expect(ann.page.getByTestId("watches")).toHaveCount(1);
  await ben.page.getByTestId("watching-hand").click();
  await expect(ben.page.getByTestId("watching")).toContainText(words.call.asked);
  await expect(ann.page.getByTestId("hand")).toHaveCount(1);

  await ann.uses("Ben", words.people.giveFloor);
  await expect(ben.notice(words.notices.floorGiven(all))).toBeVisible();
  await expect(ben.page.getByTestId("watching")).toHaveCount(0);
  await ben.button(words.bar.camera).click();
  await ben.button(words.bar.microphone).click();
  await expect(ben.button(words.bar.camera)).toHaveAttribute("aria-pressed", "true");
  await talk(ann, ben);

  await ann.uses("Ben", words.people.takeFloor);
  await expect(ben.notice(words.notices.floorTaken(all))).toBeVisible();
  await expect(ben.button(words.bar.camera)).toHaveAttribute("aria-pressed", "false");
  await expect(ann.tile("Ben").locator("video")).toHaveCount(0);
});

test("a co-host has the host's controls, and lets others send", async ({ person, room }) => {
  test.slow();
  const [ann, ben] = [await person("Ann"), await person("Ben")];
  await ann.enters(room);
  await ben.enters(room);
  await ann.opensPeople();
  await ben.opensPeople();
  await expect(ben.page.getByTestId("lock")).toHaveCount(0);
  await ann.uses("Ben", words.people.makeCoHost);
  await expect(ben.page.getByTestId("co-host")).toHaveCount(1);
  await ben.page.getByTestId("lock").click();
  await expect(ann.page.getByTestId("lock-state")).toHaveAttribute("data-locked", "true");
});

test.describe("where tokens are needed", () => {
  test.use(NEEDED);

  test("an invitation lets in by its name and for what it says; none, a wrong and an expired one are told in words", async ({
    person,
    room,
    server,
  }) => {
    test.slow();
    const sign = await signer(server);
    const ann = await person("Somebody");
    await ann.page.goto(`/r/${room}#token=${sign({ room, name: "Ann", identity: "ann@school", roomAdmin: true })}`);
    await ann.fillsIn();
    await ann.joins();
    await expect(ann.bar).toBeVisible();
    expect(await ann.roster()).toEqual(["p1 Ann"]);
    await expect(ann.page.getByTestId("lock")).toBeVisible();
    await ann.page.getByTestId("invite").click();
    await expect(ann.page.getByTestId("invite-lead")).toContainText(words.invite.leadToken);
    await expect(ann.dialog.getByTestId("invite-link")).toHaveValue(`${server.origin}/r/${room}`);
    await ann.page.keyboard.press("Escape");
    expect(await ann.page.evaluate(() => JSON.stringify(localStorage))).not.toContain("eyJ");

    const none = await person("None");
    await none.opens(room);
    await expect(none.page.getByTestId("who-is-here")).toContainText(words.green.door.token);
    await none.joins();
    await none.isTold("token_needed");
    for (const token of [
      sign({ room: `${room}-else`, identity: "x" }),
      sign({ room, identity: "x", exp: 1_000 }),
      "no",
    ]) {
      const wrong = await person("Wrong");
      await wrong.page.goto(`/r/${room}#token=${token}`);
      await wrong.fillsIn();
      await wrong.joins();
      await wrong.isTold("bad_token");
      await expect(wrong.page.getByTestId("end-detail")).not.toBeEmpty();
    }
    // Whoever has the tab reloaded is in again, without a word.
    await ann.page.reload();
    await expect(ann.bar).toBeVisible();
    expect(await ann.roster()).toEqual(["p1 Ann"]);
    // Who may write nothing is told so, and has nowhere to write.
    const reader = await person("Somebody");
    const quiet = { room, name: "Rea", identity: "rea", canPublishData: false };
    await reader.page.goto(`/r/${room}#token=${sign(quiet)}`);
    await reader.fillsIn();
    await reader.joins();
    await reader.opensChat();
    await expect(reader.page.getByTestId("chat-may-not")).toHaveText(words.chat.mayNot);
    await expect(reader.page.getByTestId("chat-field")).toBeDisabled();
    await expect(reader.page.getByTestId("send-file")).toBeDisabled();
  });
});

test("two of three go to a breakout room, see each other only, and are called back", async ({ person, room }) => {
  test.slow();
  const people: Person[] = [];
  for (const name of ["Ann", "Ben", "Cora"]) {
    const someone = await person(name);
    await someone.enters(room);
    people.push(someone);
  }
  const [ann, ben, cora] = people as [Person, Person, Person];
  await talk(ann, ben, cora);
  await ann.opensPeople();
  await ann.page.getByTestId("breakouts").click();
  await ann.page.getByTestId("breakout-count").fill("2");
  await ann.page.getByRole("switch", { name: words.family.spread }).uncheck();
  await ann.page.getByTestId("breakout-open").click();
  await ann.page.getByLabel(words.family.send("Ben")).selectOption({ label: words.family.heading(1) });
  await expect(ben.notice(words.family.moved(1, 2))).toBeVisible();
  await ann.page.keyboard.press("Escape");
  // Whoever likes goes by itself.
  await cora.page.getByTestId("family-rooms").click();
  await cora.page.getByRole("button", { name: words.family.goTo(words.family.room(1)) }).click();
  await talk(ben, cora);
  for (const someone of [ben, cora]) {
    await expect(someone.tile("Ann")).toHaveCount(0);
    await expect(someone.page.getByTestId("family")).toContainText(words.family.strip(1, 2));
    expect(new URL(someone.page.url()).pathname).not.toBe(`/r/${room}`);
  }
  await expect(ann.page.getByTestId("remote-video")).toHaveCount(0);
  // A reload does not lead out of it.
  await cora.page.reload();
  await expect(cora.page.getByTestId("family")).toContainText(words.family.strip(1, 2));
  await talk(ben, cora);

  for (const someone of [ben, cora])
    await expect(someone.page.getByTestId("lock-state")).toHaveAttribute("title", words.call.breakoutLong);

  await ann.page.getByTestId("family-rooms").click();
  const first = ann.page.getByTestId("breakout-room").nth(1);
  await expect(first).toContainText("Ben");
  await expect(first).toContainText("Cora");
  // Cora's page is away while it is closed: what has become of her place is told, and the way back leads through the main room.
  const address = cora.page.url();
  await cora.page.goto("/help");
  await ann.page.getByTestId("breakout-close").click();
  await expect(ben.notice(words.family.returned(room))).toBeVisible();
  await cora.page.goto(address);
  await expect(cora.page.getByTestId("end-page")).toHaveAttribute("data-reason", "breakout_over");
  await cora.page.getByTestId("rejoin").click();
  await cora.joins();
  await talk(ann, ben, cora);
  expect(new URL(ben.page.url()).pathname).toBe(`/r/${room}`);
  await expect(ann.page.getByTestId("family")).toHaveCount(0);
});

for (const key of [undefined, newCallKey()]) {
  const how = key === undefined ? "" : ", sealed in an encrypted call";
  test(`what somebody says stands over the pictures of the others${how}`, async ({ person, room }) => {
    test.slow();
    const [ann, ben] = [await person("Ann"), await person("Ben")];
    await ann.page.addInitScript(recognise);
    const sent = framesOf(ann.page);
    const entry = key === undefined ? {} : { key };
    await ann.enters(room, entry);
    await ben.enters(room, entry);
    await talk(ann, ben);
    await ben.button(words.bar.more).click();
    await ben.page.getByTestId("more-captions").click();
    await ann.button(words.bar.more).click();
    await ann.page.getByTestId("more-write").click();
    await expect(ben.page.getByTestId("caption").first()).toHaveText("Ann good morning everybody");
    const captions = sent.filter((frame) => frame.includes('"caption"'));
    expect(captions.length).toBeGreaterThan(0);
    expect(captions.some((frame) => frame.includes("good morning"))).toBe(key === undefined);
  });
}

/** A browser that understands what is said, on the device: Chromium for tests does not. */
function recognise(): void {
  class Recognition {
    static available = (): Promise<string> => Promise.resolve("available");
    onresult: ((event: unknown) => void) | null = null;
    onend: (() => void) | null = null;
    start(): void {
      const hear = (transcript: string, isFinal: boolean): void =>
        this.onresult?.({ resultIndex: 0, results: [{ isFinal, 0: { transcript } }] });
      setTimeout(() => hear("good morning", false), 100);
      setTimeout(() => hear("good morning everybody", true), 400);
    }
    abort(): void {
      this.onresult = null;
    }
  }
  Object.assign(window, { SpeechRecognition: Recognition });
}

function framesOf(page: Page): string[] {
  const sent: string[] = [];
  page.on("websocket", (socket) => socket.on("framesent", ({ payload }) => sent.push(String(payload))));
  return sent;
}

interface Claims {
  readonly room: string;
  readonly identity: string;
  readonly name?: string;
  readonly roomAdmin?: boolean;
  readonly canPublishData?: boolean;
  readonly exp?: number;
}

/** A third party that signs as the server's guide says. */
async function signer(server: TandemServer): Promise<(claims: Claims) => string> {
  const key = await server.command("key", "create", "--name", "school");
  const id = /^tk_([^_]+)_/.exec(key)?.[1] ?? "";
  const secret = await server.command("key", "secret", id);
  return ({ room, identity, name, exp = Math.floor(Date.now() / 1000) + 600, ...grants }) => {
    const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url");
    const body = { iss: id, sub: identity, name, exp, video: { room, roomJoin: true, ...grants } };
    const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part(body)}`;
    return `${signed}.${createHmac("sha256", secret).update(signed).digest("base64url")}`;
  };
}
