// Calls of many pages: one after the other, as nothing else has a place on the machine beside them.
import { defineConfig } from "@playwright/test";
import tests from "./playwright.config.ts";

export default defineConfig(tests, { testDir: "alone", workers: 1, fullyParallel: false });
