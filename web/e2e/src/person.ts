// Somebody in front of a browser: what they press and what they see, in the words of the product's own catalogue.
import { expect, type Locator, type Page } from "@playwright/test";
import { en } from "../../app/src/i18n/en.ts";
import { advances } from "./measure.ts";

export const words = en;

export interface Entry {
  readonly hideAddress?: boolean;
  /** `call`: newcomers ring. */
  readonly door?: "r" | "call";
  /** Of an encrypted call, in the link. */
  readonly key?: string;
}

export interface Upload {
  readonly name: string;
  readonly mimeType: string;
  readonly buffer: Buffer;
}

/** What a browser logs when the server is gone. */
export const lostServer =
  /WebSocket connection|Failed to load resource|ERR_(CONNECTION|INTERNET|NETWORK|ABORTED|EMPTY)/;

export class Person {
  constructor(
    readonly name: string,
    readonly page: Page,
  ) {}

  /** Opens the link, passes the green room and is in the call. */
  async enters(room: string, entry: Entry = {}): Promise<void> {
    await this.opens(room, entry);
    await this.joins();
    await expect(this.bar).toBeVisible();
  }

  /** Opens the link and fills the green room in. */
  async opens(room: string, entry: Entry = {}): Promise<void> {
    const key = entry.key === undefined ? "" : `#key=${entry.key}`;
    await this.page.goto(`/${entry.door ?? "r"}/${room}${key}`);
    await this.fillsIn(entry);
  }

  async fillsIn(entry: Entry = {}): Promise<void> {
    await this.page.getByLabel(words.green.name, { exact: true }).fill(this.name);
    // The browser was allowed before, so the devices come on by themselves.
    await expect(this.page.getByTestId("preview")).toBeVisible();
    if (entry.hideAddress) await this.page.getByRole("switch", { name: words.green.hide }).check();
  }

  async joins(): Promise<void> {
    await this.page.getByTestId("join").click();
  }

  get bar(): Locator {
    return this.page.getByLabel(words.bar.label);
  }

  /** A control of the bar. Its name may go on: "Chat and files, 2 unread messages", "Microphone: Muted". */
  button(name: string): Locator {
    return this.bar.getByRole("button", { name: new RegExp(`^${name}\\b`) });
  }

  /** The place of somebody's camera picture on the stage. */
  tile(name: string): Locator {
    return this.page.getByRole("article", { name: words.call.tile(name), exact: true });
  }

  /** Sees and hears: pictures and sound of the others come in and go on coming in. */
  async hearsAndSees(...names: string[]): Promise<void> {
    for (const name of names) await expect(this.tile(name).locator("video")).toBeVisible();
    await advances(this.page);
  }

  get panel(): Locator {
    return this.page.getByRole("complementary", { name: words.call.panel });
  }

  async opensChat(): Promise<void> {
    await this.opensPanel(words.bar.chat, this.page.getByTestId("chat-field"));
  }

  async opensPeople(): Promise<void> {
    await this.opensPanel(words.bar.people, this.page.getByTestId("roster"));
  }

  /** An entry of the menu "More", which opens a dialog. */
  async opensMore(entry: string): Promise<void> {
    await this.button(words.bar.more).click();
    await this.page.getByTestId("more-menu").getByRole("button", { name: entry, exact: true }).click();
    await expect(this.dialog).toBeVisible();
  }

  get dialog(): Locator {
    return this.page.getByRole("dialog");
  }

  async writes(line: string): Promise<void> {
    const field = this.page.getByTestId("chat-field");
    await field.fill(line);
    await field.press("Enter");
  }

  get lines(): Locator {
    return this.page.getByTestId("chat-line");
  }

  async sendsFile(file: Upload | string): Promise<void> {
    await this.opensChat();
    await expect(this.page.getByTestId("send-file")).toBeEnabled();
    await this.page.getByTestId("file-input").setInputFiles(file);
  }

  file(name: string): Locator {
    return this.page.getByTestId("file").filter({ hasText: name });
  }

  async sharesScreen(): Promise<void> {
    await this.button(words.bar.share).click();
    await this.page.getByTestId("share-detail").click();
  }

  async safetyWords(): Promise<string[]> {
    const said = this.page.getByTestId("sas").first().locator(".word");
    await this.page.getByTestId("safety-words").click();
    await expect(said).toHaveCount(4);
    const found = await said.allInnerTexts();
    await this.page.keyboard.press("Escape");
    return found;
  }

  /** Identity and name of everyone, as this page lists them. */
  async roster(): Promise<string[]> {
    await this.opensPeople();
    const entries = this.page.getByTestId("roster").locator("li");
    const found = await entries.evaluateAll((items) =>
      items.map(
        (item) =>
          `${item.getAttribute("data-participant") ?? "?"} ${item.querySelector(".name")?.firstChild?.textContent?.trim() ?? "?"}`,
      ),
    );
    return found.map((entry) => entry.replace(/ \(you\)$/, "")).sort();
  }

  /** Chooses from the menu beside somebody's name. */
  async uses(name: string, tool: string): Promise<void> {
    await this.page.getByRole("button", { name: words.people.tools(name) }).click();
    await this.page.getByRole("button", { name: tool, exact: true }).click();
  }

  async confirms(): Promise<void> {
    await this.page.getByTestId("confirm-yes").click();
  }

  /** The end page says why it is over. */
  async isTold(reason: string): Promise<void> {
    const title = words.end.titles[reason];
    if (title === undefined) throw new Error(`the catalogue has no title for "${reason}"`);
    await expect(this.page.getByRole("heading", { name: title, exact: true })).toBeVisible();
    const text = words.end.texts[reason];
    if (text !== undefined) await expect(this.page.getByText(text)).toBeVisible();
  }

  /** What the page has just said in passing. */
  notice(text: string): Locator {
    return this.page.getByTestId("toasts").getByText(text, { exact: true });
  }

  /** The request to come in. */
  ring(name: string): Locator {
    return this.page.getByTestId("knock").filter({ hasText: name });
  }

  /** The word that the way to the server is lost. */
  get lost(): Locator {
    return this.page.getByText(words.call.reconnecting);
  }

  private async opensPanel(button: string, inside: Locator): Promise<void> {
    if (await inside.isVisible()) return;
    await this.button(button).click();
    await expect(inside).toBeVisible();
  }
}

/** All of them are in the room, and see and hear each other. */
export async function talk(...people: readonly Person[]): Promise<void> {
  await Promise.all(
    people.map((person) =>
      person.hearsAndSees(...people.filter((other) => other !== person).map((other) => other.name)),
    ),
  );
}
