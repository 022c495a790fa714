/** Builds the page once, so that the tests see what users get. */

import { build } from "vite";

export default async function setup(): Promise<void> {
  await build({ root: new URL("../../", import.meta.url).pathname, logLevel: "error" });
}
