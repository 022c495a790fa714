/** What is said of a model's origin. */

import { expect, test } from "vitest";
import { modelOrigin } from "../../src/ui/format.ts";

const model = {
  name: "ads",
  enabled: true,
  version: "3",
  standing: "",
  because: "",
  record: "",
  parameters: {},
};
const said = (changes: object): string => modelOrigin({ ...model, ...changes });

test("a forced model says so and why, whatever else is known of it", () => {
  expect(said({ version: "", standing: "instrument" })).toBe("instrument's own");
  expect(said({ standing: "forced", because: "we try it on paper" })).toBe(
    "version 3, forced past the gate: we try it on paper",
  );
  expect(said({ standing: "proven" })).toBe("version 3, passed the gate");
  expect(said({ standing: "not_proven" })).toBe("version 3, not proven");
  expect(said({})).toBe("version 3"); // of a server that does not say
});

test("what the live record says stands behind what the gate left, and takes the place of a promise that it broke", () => {
  expect(said({ standing: "proven", record: "no live evidence yet" })).toBe(
    "version 3, passed the gate, no live evidence yet",
  );
  expect(said({ standing: "on_trial", record: "on trial: 40 live trades" })).toBe(
    "version 3, on trial: 40 live trades",
  );
  expect(said({ standing: "on_trial" })).toBe("version 3, on trial");
  expect(said({ standing: "on_trial", because: "we try it", record: "on trial: 40 live trades" })).toBe(
    "version 3, forced past the gate: we try it, on trial: 40 live trades",
  );
});
