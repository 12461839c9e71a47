// The app's own tests: pure functions, the tokens and the catalogues. What needs a browser is in `web/e2e`.
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vitest/config";

export default defineConfig({
  plugins: [svelte()],
  test: { name: "app", include: ["test/**/*.test.ts"], environment: "node" },
});
