import { defineConfig } from "vitest/config";

// A mutant is one short run of the logic's tests: what measures memory or reads the sources' imports cannot judge it, and
// fresh workers per file would cost more than the tests.
export default defineConfig({
  test: {
    include: ["tests/unit/**/*.test.ts"],
    exclude: ["tests/unit/memory.test.ts", "tests/unit/imports.test.ts", "tests/unit/mutants.test.ts"],
    environment: "node",
    isolate: false,
  },
});
