// Records core/sdp/tests/data: what browsers offer and answer. Not a test; run it by scripts/descriptions.
import { defineConfig } from "@playwright/test";
import tests from "./playwright.config.ts";

export default defineConfig(tests, {
  testDir: "descriptions",
  testMatch: "**/*.descriptions.ts",
  workers: 1,
});
