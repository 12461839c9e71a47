// The real binary on ports and in a directory of its own.
import { execFile, spawn, type ChildProcess } from "node:child_process";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { request } from "node:https";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";

const binary = process.env["TANDEM_BIN"] ?? resolve(import.meta.dirname, "../../../target/debug/tandem");

/** Settings as the environment gives them: `{ ROOMS_RELAY_ONLY: "true" }`. */
export type Settings = Readonly<Record<string, string>>;

export interface Ports {
  readonly https: number;
  readonly relay: number;
  readonly relayTls: number;
}

export class TandemServer {
  private process: ChildProcess | null = null;
  private lines: string[] = [];

  private constructor(
    readonly ports: Ports,
    private readonly directory: string,
    private readonly settings: Settings,
  ) {}

  static async start(settings: Settings = {}): Promise<TandemServer> {
    const ports = { https: await freePort(), relay: await freePort(), relayTls: await freePort() };
    const directory = await mkdtemp(join(tmpdir(), "tandem-e2e-"));
    const server = new TandemServer(ports, directory, settings);
    await server.up();
    return server;
  }

  get origin(): string {
    return `https://localhost:${this.ports.https}`;
  }

  /** What it has written so far, over all its lives. */
  get log(): string {
    return this.lines.join("");
  }

  async up(): Promise<void> {
    const child = spawn(binary, ["serve"], {
      env: {
        PATH: process.env["PATH"],
        TANDEM_DATA_DIR: this.directory,
        TANDEM_HTTP_PORT: String(this.ports.https),
        TANDEM_HTTP_REDIRECT_PORT: "0",
        TANDEM_RELAY_PORT: String(this.ports.relay),
        TANDEM_RELAY_TLS_PORT: String(this.ports.relayTls),
        TANDEM_MEDIA_PORT: "0",
        TANDEM_LOG_LEVEL: "debug",
        ...this.settings,
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.process = child;
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding("utf8").on("data", (text: string) => this.lines.push(text));
    }
    const gone = new Promise<never>((_, fail) => {
      child.once("error", fail);
      child.once("exit", (code, signal) =>
        fail(new Error(`tandem ended (${code ?? signal}) before it was ready:\n${this.log}`)),
      );
    });
    await Promise.race([this.ready(), gone]);
    child.removeAllListeners("exit");
    gone.catch(() => undefined);
  }

  /** `tandem …` on the same data, beside the running server; what it prints. */
  async command(...words: string[]): Promise<string> {
    const env = { PATH: process.env["PATH"], TANDEM_DATA_DIR: this.directory };
    const { stdout } = await promisify(execFile)(binary, words, { env });
    return stdout.trim();
  }

  /** Ends the process and waits until it is gone. */
  async down(signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    const child = this.process;
    this.process = null;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, "exit");
    child.kill(signal);
    await exit;
  }

  async remove(): Promise<void> {
    await this.down("SIGKILL");
    await rm(this.directory, { recursive: true, force: true });
  }

  private async ready(): Promise<void> {
    while (this.process) {
      if ((await status(`${this.origin}/readyz`)) === 200) return;
      await new Promise((next) => setTimeout(next, 50));
    }
  }
}

function status(url: string): Promise<number> {
  return new Promise((done) => {
    const ask = request(url, { rejectUnauthorized: false, timeout: 2_000 }, (answer) => {
      answer.resume();
      done(answer.statusCode ?? 0);
    });
    ask.once("error", () => done(0));
    ask.once("timeout", () => ask.destroy());
    ask.end();
  });
}

/** A port free for TCP and UDP, below the range systems take ephemeral ports from. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < 100; tries += 1) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    if ((await tcpFree(port)) && (await udpFree(port))) return port;
  }
  throw new Error("no free port between 20000 and 32000 in 100 tries");
}

function tcpFree(port: number): Promise<boolean> {
  return new Promise((done) => {
    const probe = createServer();
    probe.once("error", () => done(false));
    probe.listen({ port, host: "::" }, () => probe.close(() => done(true)));
  });
}

function udpFree(port: number): Promise<boolean> {
  return new Promise((done) => {
    const probe = createSocket("udp6");
    probe.once("error", () => {
      probe.close();
      done(false);
    });
    probe.bind(port, "::", () => probe.close(() => done(true)));
  });
}
