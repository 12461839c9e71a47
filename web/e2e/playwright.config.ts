// How the browser tests run: the machine's own Chromium, fake devices, no retries, no time limit that proves speed.
import { defineConfig } from "@playwright/test";
import { launch } from "./src/chromium.ts";

export default defineConfig({
  testDir: "tests",
  // Not `.test.ts`: those are Vitest's.
  testMatch: "**/*.e2e.ts",
  outputDir: "../../target/e2e",
  fullyParallel: true,
  forbidOnly: Boolean(process.env["CI"]),
  retries: 0,
  workers: Number(process.env["E2E_WORKERS"] ?? 2),
  timeout: 120_000,
  expect: { timeout: 30_000 },
  reporter: [["list"]],
  use: {
    actionTimeout: 30_000,
    navigationTimeout: 30_000,
    launchOptions: launch(),
  },
});
