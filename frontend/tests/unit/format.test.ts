/** What is said of a model's origin. */

import { expect, test } from "vitest";
import { modelOrigin } from "../../src/ui/format.ts";

test("a forced model says so and why, whatever else is known of it", () => {
  const model = { name: "ads", enabled: true, version: "3", standing: "", because: "", parameters: {} };
  const said = (changes: object): string => modelOrigin({ ...model, ...changes });
  expect(said({ version: "", standing: "instrument" })).toBe("instrument's own");
  expect(said({ standing: "forced", because: "we try it on paper" })).toBe(
    "version 3, forced past the gate: we try it on paper",
  );
  expect(said({ standing: "proven" })).toBe("version 3, passed the gate");
  expect(said({ standing: "not_proven" })).toBe("version 3, not proven");
  expect(said({})).toBe("version 3"); // of a server that does not say
});
