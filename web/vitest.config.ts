// One run for all workspaces that have unit tests.
import { defineConfig } from "vitest/config";

export default defineConfig({ test: { projects: ["app", "sdk"] } });
