/**
 * Mutation testing of the page: `npm run mutants -- [--mutate GLOB]… [--sample PERCENT] [--seed S] [--minutes M]
 * [--threshold PERCENT]`.
 *
 * Stryker changes the sources in a copy, one place at a time, and the unit tests must notice. Its packages stand in a lock of
 * their own and are installed on the first run. Exit status 1: a folder is below the threshold with survivors that
 * `tests/mutants/equivalent.json` does not list, or that list names what is no survivor any more.
 */

import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { relative } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { asDiff, isSampled, judge, score } from "./judge.mjs";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const PAGE = fileURLToPath(new URL("../..", import.meta.url));
const given = valuesOf({
  mutate: { type: "string", multiple: true, default: ["src/wire/**/*.ts", "src/store/**/*.ts"] },
  sample: { type: "string", default: "100" },
  seed: { type: "string", default: "0" },
  minutes: { type: "string", default: "120" },
  threshold: { type: "string", default: "90" },
});
process.chdir(PAGE);
const threshold = numberOf("threshold", 0, 100);
const share = numberOf("sample", 1, 100) / 100;
const seed = numberOf("seed", 0, 2 ** 31);
const minutes = numberOf("minutes", 1, 1440);
if (!existsSync(`${HERE}node_modules/@stryker-mutator/core`)) {
  execFileSync("npm", ["ci"], { cwd: HERE, stdio: "inherit" });
}
const { Stryker } = await import("@stryker-mutator/core");

process.env.MUTANTS_SHARE = String(share); // for the workers
process.env.MUTANTS_SEED = String(seed);
process.env.MUTANTS_END = String(Date.now() + minutes * 60_000);
const began = performance.now();
const stryker = new Stryker({
  mutate: given.mutate,
  testRunner: "sampled-vitest",
  plugins: [`${HERE}sampled-runner.mjs`],
  vitest: { configFile: "tools/mutants/vitest.config.mjs", related: false },
  coverageAnalysis: "perTest",
  concurrency: 2,
  timeoutMS: 15_000,
  reporters: ["progress-append-only", "survivors"],
  tempDirName: ".mutants",
  cleanTempDir: "always",
  ignorePatterns: ["/dist", "/docs", "/tests/browser", "/biome.json", "/tools/mutants/node_modules"],
  tsconfigFile: "none", // Stryker rewrites it through an interface that TypeScript 7 does not have
  allowConsoleColors: false,
});
const results = await stryker.runMutationTest().catch((error) => {
  console.error(`no mutant was judged: ${error.message}`);
  process.exit(2);
});
const seconds = (performance.now() - began) / 1000;

const mutants = results
  .filter(({ id }) => isSampled(id, share, seed))
  .map((mutant) => ({ ...mutant, fileName: relative(PAGE, mutant.fileName) }));
const sources = new Map(mutants.map(({ fileName }) => [fileName, readFileSync(fileName, "utf8")]));
const listed = JSON.parse(readFileSync("tests/mutants/equivalent.json", "utf8"));
const { folders, survivors, stale } = judge(mutants, listed, sources);

for (const mutant of survivors) console.log(`\n${asDiff(mutant, sources.get(mutant.fileName))}`);
console.log(`\n${results.length} mutants, ${mutants.length} in the sample (seed ${seed}), ${seconds.toFixed(0)} s\n`);
console.log("folder          mutants  killed  equivalent  survived   score");
let low = false;
for (const [folder, tally] of folders) {
  const cells = [tally.mutants, tally.killed, tally.equivalent, tally.survived];
  const [a, b, c, d] = cells.map(String);
  const percent = score(tally);
  low ||= percent < threshold;
  console.log(
    `${folder.padEnd(15)} ${a.padStart(7)} ${b.padStart(7)} ${c.padStart(11)} ${d.padStart(9)} ${percent.toFixed(1).padStart(6)} %`,
  );
}
if (low)
  console.error(
    `a score is below ${threshold} %: each diff above needs a test, or a line in equivalent.json with its reason`,
  );
const isStale = share === 1 && stale.length > 0;
if (isStale) {
  console.error(
    "listed as equivalent, and no survivor is like it; take it out of equivalent.json or mend the line:",
  );
  for (const one of stale)
    console.error(`  ${one.file}: ${one.original} → ${one.replacement} in "${one.line}"`);
}
process.exitCode = low || isStale ? 1 : 0;

/** What the command line says, or a refusal that names what it should not. */
function valuesOf(options) {
  try {
    return parseArgs({ options }).values;
  } catch (error) {
    console.error(`${error.message}; allowed are --${Object.keys(options).join(", --")}`);
    process.exit(2);
  }
}

/** One number of the command line, or a refusal that names it. */
function numberOf(name, min, max) {
  const value = Number(given[name]);
  if (given[name] !== "" && value >= min && value <= max) return value;
  console.error(`--${name} was ${given[name]}; it must be a number from ${min} to ${max}`);
  process.exit(2);
}
