// The SDK's tests: everything of the browser is a fake, time is moved by hand.
import { defineConfig } from "vitest/config";

export default defineConfig({ test: { name: "sdk", include: ["test/**/*.test.ts"], environment: "node" } });
