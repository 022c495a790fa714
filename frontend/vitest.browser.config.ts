import { defineConfig } from "vitest/config";

// One file at a time: a browser, and in one of them a Ray cluster, are enough for two cores.
export default defineConfig({
  test: {
    include: ["tests/browser/**/*.test.ts"],
    environment: "node",
    globalSetup: "tests/browser/global-setup.ts",
    fileParallelism: false,
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
