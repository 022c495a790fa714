/** Stryker's vitest runner without the mutants outside the sample or after the time; and each survivor in a line as it is found. */

import { PluginKind } from "@stryker-mutator/api/plugin";
import { strykerPlugins as plugins, strykerValidationSchema } from "@stryker-mutator/vitest-runner";
import { isSampled } from "./judge.mjs";

const vitest = plugins.find((plugin) => plugin.kind === PluginKind.TestRunner);
const share = Number(process.env.MUTANTS_SHARE ?? 1);
const seed = Number(process.env.MUTANTS_SEED ?? 0);
const end = Number(process.env.MUTANTS_END ?? Number.POSITIVE_INFINITY);

function create(injector) {
  const runner = vitest.factory(injector);
  const run = runner.mutantRun.bind(runner);
  runner.mutantRun = async (options) =>
    isSampled(options.activeMutant.id, share, seed) && Date.now() < end
      ? run(options)
      : { status: "error", errorMessage: "not tried" };
  return runner;
}
create.inject = vitest.factory.inject;

/** @type {import("@stryker-mutator/api/report").Reporter} */
class Survivors {
  onMutantTested({ id, status, fileName, location, mutatorName, replacement }) {
    if ((status !== "Survived" && status !== "NoCoverage") || !isSampled(id, share, seed)) return;
    const { line, column } = location.start;
    console.log(
      `${status}: ${fileName}:${line}:${column} ${mutatorName} → ${replacement.replace(/\s+/g, " ")}`,
    );
  }
}

export { strykerValidationSchema };
export const strykerPlugins = [
  { kind: PluginKind.TestRunner, name: "sampled-vitest", factory: create },
  { kind: PluginKind.Reporter, name: "survivors", injectableClass: Survivors },
];
