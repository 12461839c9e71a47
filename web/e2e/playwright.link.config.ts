// Browsers at both ends of a link as bad as is wanted (tests/interop/link). Run by scripts/e2e-link, which makes the namespaces.
import { defineConfig } from "@playwright/test";
import tests from "./playwright.config.ts";

export default defineConfig(tests, { testDir: "link", workers: 1, fullyParallel: false, timeout: 300_000 });
