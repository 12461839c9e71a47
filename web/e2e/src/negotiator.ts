// The server's end of negotiations without a server: core/sdp/examples/negotiate.rs says what it understands.
import { spawn, type ChildProcess } from "node:child_process";
import { resolve } from "node:path";

const program = resolve(import.meta.dirname, "../../../target/debug/examples/negotiate");

export class Negotiator {
  private unread = Buffer.alloc(0);
  private waiting: { resolve(text: string): void; reject(error: Error): void }[] = [];

  private constructor(private readonly process: ChildProcess) {
    process.stdout?.on("data", (bytes: Buffer) => this.onData(bytes));
    process.on("error", (error) => this.onGone(error));
    process.on("exit", () => this.onGone(new Error("the negotiator is gone")));
  }

  static start(): Negotiator {
    return new Negotiator(spawn(program, { stdio: ["pipe", "pipe", "inherit"] }));
  }

  /** Of what the offer would begin, only these kinds are wanted; all, if there are none. */
  answer(offer: string, kinds = ""): Promise<string> {
    return this.ask("answer", offer, kinds);
  }

  /** `audio`, `video`, `data`, `heard`, `seen` or `-` for each m-line. */
  offer(lines: string): Promise<string> {
    return this.ask("offer", "", lines);
  }

  /** What each m-line is then. */
  async accept(answer: string): Promise<string[]> {
    return (await this.ask("accept", answer)).split("\n");
  }

  async forget(): Promise<void> {
    await this.ask("forget", "");
  }

  stop(): void {
    this.process.stdin?.end();
  }

  private ask(verb: string, body: string, rest = ""): Promise<string> {
    this.process.stdin?.write(`${verb} ${Buffer.byteLength(body)} ${rest}\n${body}`);
    return new Promise((resolve, reject) => this.waiting.push({ resolve, reject }));
  }

  private onData(bytes: Buffer): void {
    this.unread = Buffer.concat([this.unread, bytes]);
    for (;;) {
      const [head, word, length] = /^(ok|no) (\d+)\n/.exec(this.unread.toString("latin1")) ?? [];
      if (head === undefined || this.unread.length < head.length + Number(length)) return;
      const text = this.unread.subarray(head.length, head.length + Number(length)).toString();
      this.unread = this.unread.subarray(head.length + Number(length));
      const waiting = this.waiting.shift();
      if (word === "ok") waiting?.resolve(text);
      else waiting?.reject(new Error(text));
    }
  }

  private onGone(error: Error): void {
    for (const { reject } of this.waiting.splice(0)) reject(error);
  }
}
