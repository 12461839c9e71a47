// Another browser: Debian's Firefox with fake devices. Playwright drives its own build of Firefox only, so this speaks
// Marionette, Firefox's own remote protocol: `length:[0,id,command,parameters]` one way, `length:[1,id,error,result]` back.
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "./server.ts";

const executablePath = process.env["FIREFOX"] ?? "/usr/bin/firefox-esr";
const STARTS_WITHIN_MS = 60_000;
const APPEARS_WITHIN_MS = 30_000;

const preferences = {
  "media.navigator.streams.fake": true,
  "media.navigator.permission.disabled": true,
  // Both ends are on this machine.
  "media.peerconnection.ice.loopback": true,
  "media.autoplay.default": 0,
  "media.autoplay.blocking_policy": 0,
  "intl.accept_languages": "en-GB",
  "browser.shell.checkDefaultBrowser": false,
  "datareporting.policy.dataSubmissionEnabled": false,
};

export class Firefox {
  #asked = 0;
  #pending = new Map<number, { resolve(result: unknown): void; reject(error: Error): void }>();
  #unread = Buffer.alloc(0);

  private constructor(
    private readonly process: ChildProcess,
    private readonly socket: Socket,
    private readonly profile: string,
  ) {
    socket.on("data", (bytes) => this.#onData(bytes));
    socket.on("close", () => this.#onClose());
  }

  static async start(): Promise<Firefox> {
    const port = await freePort();
    const profile = await mkdtemp(join(tmpdir(), "tandem-firefox-"));
    const lines = Object.entries({ ...preferences, "marionette.port": port });
    const text = lines.map(([name, value]) => `user_pref("${name}", ${JSON.stringify(value)});`).join("\n");
    await writeFile(join(profile, "user.js"), text);
    const options = ["--marionette", "--headless", "--no-remote", "--profile", profile];
    const process = spawn(executablePath, options, { stdio: "ignore" });
    try {
      const firefox = new Firefox(process, await reach(port), profile);
      await firefox.#ask("WebDriver:NewSession", { acceptInsecureCerts: true });
      return firefox;
    } catch (error) {
      process.kill("SIGKILL");
      await rm(profile, { recursive: true, force: true });
      throw error;
    }
  }

  async opens(url: string): Promise<void> {
    await this.#ask("WebDriver:Navigate", { url });
  }

  /** Opens the link, passes the green room and is on the way into the call. */
  async enters(url: string, name: string): Promise<void> {
    await this.opens(url);
    await this.writes("name", name);
    // Here `<usermedia>` is unknown, and the button inside it is the one.
    await this.presses("ask-devices");
    await this.sees(`document.querySelector('[data-testid="preview"]')`);
    await this.presses("join");
  }

  async presses(hook: string): Promise<void> {
    await this.#ask("WebDriver:ElementClick", { id: await this.#find(hook) });
  }

  /** Enters text as from a keyboard; `\n` is the Enter key. */
  async writes(hook: string, text: string): Promise<void> {
    await this.#ask("WebDriver:ElementSendKeys", { id: await this.#find(hook), text: text.replace("\n", "\uE007") });
  }

  /** Value of a JavaScript expression on the page. */
  async value(expression: string): Promise<unknown> {
    const found = await this.#ask("WebDriver:ExecuteScript", { script: `return (${expression})`, args: [] });
    return (found as { value: unknown }).value;
  }

  /** Waits until an expression is true. */
  async sees(expression: string): Promise<void> {
    const until = Date.now() + APPEARS_WITHIN_MS;
    while ((await this.value(`Boolean(${expression})`)) !== true) {
      if (Date.now() > until) throw new Error(`Firefox waited in vain for ${expression}`);
      await new Promise((next) => setTimeout(next, 100));
    }
  }

  async close(): Promise<void> {
    const gone = this.process.exitCode === null ? once(this.process, "exit") : null;
    await this.#ask("Marionette:Quit", { flags: ["eForceQuit"] }).catch(() => this.process.kill("SIGKILL"));
    await gone;
    this.socket.destroy();
    await rm(this.profile, { recursive: true, force: true });
  }

  /** Identity of the element with this `data-testid`, once it can be seen. */
  async #find(hook: string): Promise<string> {
    const value = `[data-testid="${hook}"]`;
    await this.sees(`document.querySelector(${JSON.stringify(value)})?.checkVisibility()`);
    const found = await this.#ask("WebDriver:FindElement", { using: "css selector", value });
    const [id] = Object.values((found as { value: Record<string, string> }).value);
    if (id === undefined) throw new Error(`no element in ${JSON.stringify(found)}`);
    return id;
  }

  #ask(command: string, parameters: object): Promise<unknown> {
    this.#asked += 1;
    const id = this.#asked;
    const body = Buffer.from(JSON.stringify([0, id, command, parameters]));
    this.socket.write(Buffer.concat([Buffer.from(`${body.length}:`), body]));
    return new Promise((resolve, reject) => this.#pending.set(id, { resolve, reject }));
  }

  #onData(bytes: Buffer): void {
    this.#unread = Buffer.concat([this.#unread, bytes]);
    for (;;) {
      const colon = this.#unread.indexOf(":");
      const end = colon + 1 + Number(this.#unread.subarray(0, Math.max(0, colon)).toString());
      if (colon < 0 || this.#unread.length < end) return;
      const message: unknown = JSON.parse(this.#unread.subarray(colon + 1, end).toString());
      this.#unread = this.#unread.subarray(end);
      if (Array.isArray(message)) this.#onAnswer(message);
    }
  }

  #onAnswer([, id, error, result]: unknown[]): void {
    const asked = this.#pending.get(Number(id));
    this.#pending.delete(Number(id));
    if (error === null) asked?.resolve(result);
    else asked?.reject(new Error(`Firefox: ${JSON.stringify(error)}`));
  }

  #onClose(): void {
    for (const { reject } of this.#pending.values()) reject(new Error("Firefox is gone"));
    this.#pending.clear();
  }
}

async function reach(port: number): Promise<Socket> {
  const until = Date.now() + STARTS_WITHIN_MS;
  for (;;) {
    const socket = connect({ port, host: "127.0.0.1" });
    try {
      await once(socket, "connect");
      return socket;
    } catch (error) {
      if (Date.now() > until) throw error;
      await new Promise((next) => setTimeout(next, 200));
    }
  }
}
