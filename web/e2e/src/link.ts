// The emulated link of tests/interop/link. The server and this process are at its far end; a browser can be put at the near one.
import { execFile } from "node:child_process";
import { chmod, mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { chromium, type Browser } from "@playwright/test";
import { executablePath, launch } from "./chromium.ts";

const link = resolve(import.meta.dirname, "../../../tests/interop/link/link");

/** The server's address as seen from the near end. */
export const FAR = "10.77.0.2";

/** `rate=300k`, `loss=5`, `delay=100ms`, `clear`… for both directions. */
export async function squeeze(...spec: string[]): Promise<void> {
  await promisify(execFile)(link, ["set", "near", "both", ...spec]);
}

/** A browser for whom `localhost` is at the far end. */
export async function browserAtNearEnd(): Promise<Browser> {
  const path = join(await mkdtemp(join(tmpdir(), "tandem-near-")), "chromium");
  await writeFile(path, `#!/bin/sh\nexec ip netns exec near "${executablePath}" "$@"\n`);
  await chmod(path, 0o755);
  const { args = [], ...options } = launch();
  const others = args.filter((flag) => !flag.startsWith("--host-resolver-rules"));
  const rules = `--host-resolver-rules=MAP localhost ${FAR}, MAP localhost. ${FAR}, MAP * ~NOTFOUND, EXCLUDE ${FAR}`;
  return chromium.launch({ ...options, executablePath: path, args: [...others, rules] });
}
