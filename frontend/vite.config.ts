import { defineConfig } from "vitest/config";

// The entry keeps its own name in dist/; the server answers `/` with it as well.
export default defineConfig({
  base: "./",
  server: { port: 5174, strictPort: true },
  build: {
    target: "es2022",
    outDir: "dist",
    emptyOutDir: true,
    sourcemap: false,
    rollupOptions: { input: { "vacuum-pressure": "vacuum-pressure.html" } },
  },
  plugins: [
    {
      name: "index-is-the-live-page",
      generateBundle: {
        order: "post",
        handler(_options, bundle) {
          const page = bundle["vacuum-pressure.html"];
          if (page?.type !== "asset") throw new Error("vacuum-pressure.html was not built");
          this.emitFile({ type: "asset", fileName: "index.html", source: page.source });
        },
      },
    },
  ],
  test: { include: ["tests/unit/**/*.test.ts"], environment: "node" },
});
