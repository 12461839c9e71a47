// Writes docs/pictures: every page with the real server. Not a test; run it by scripts/screenshots.
import { defineConfig } from "@playwright/test";
import tests from "./playwright.config.ts";

export default defineConfig(tests, {
  testDir: "pictures",
  testMatch: "**/*.pictures.ts",
  workers: 1,
  timeout: 300_000,
});
