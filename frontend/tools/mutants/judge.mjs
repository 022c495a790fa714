/**
 * What the outcomes of mutants say: a score per folder, the survivors as diffs, and what is listed as equivalent.
 *
 * @typedef {{ line: number, column: number }} Place line from 1, column from 1
 * @typedef {{ id: string, fileName: string, mutatorName: string, replacement: string, status: string,
 *   location: { start: Place, end: Place } }} Mutant
 * @typedef {{ file: string, line: string, mutator: string, original: string, replacement: string, reason: string,
 *   times?: number }} Equivalent `line`: the source line it starts in, trimmed; `times`: how often the same stands in the file
 * @typedef {{ mutants: number, killed: number, equivalent: number, survived: number }} Tally
 */

import { posix } from "node:path";

const DETECTED = new Set(["Killed", "Timeout"]);
const UNDETECTED = new Set(["Survived", "NoCoverage"]);

/**
 * Whether a mutant belongs to a sample; by its id, so that the same seed asks about the same mutants.
 *
 * @param {string} id
 * @param {number} share of all mutants, 0 to 1
 * @param {number} seed
 */
export function isSampled(id, share, seed) {
  let hash = 2_166_136_261;
  for (const letter of `${seed}/${id}`) hash = Math.imul(hash ^ letter.charCodeAt(0), 16_777_619);
  hash = Math.imul(hash ^ (hash >>> 15), 2_246_822_507);
  return ((hash ^ (hash >>> 13)) >>> 0) / 2 ** 32 < share;
}

/**
 * The text that a mutant replaces.
 *
 * @param {Mutant} mutant
 * @param {string} source
 */
export function originalOf({ location: { start, end } }, source) {
  const lines = source.split("\n").slice(start.line - 1, end.line);
  lines[lines.length - 1] = lines[lines.length - 1]?.slice(0, end.column - 1) ?? "";
  lines[0] = lines[0]?.slice(start.column - 1) ?? "";
  return lines.join("\n");
}

/**
 * A mutant as a diff: its lines as they are and as they would be.
 *
 * @param {Mutant} mutant
 * @param {string} source
 */
export function asDiff(mutant, source) {
  const { start, end } = mutant.location;
  const lines = source.split("\n").slice(start.line - 1, end.line);
  const before = (lines[0] ?? "").slice(0, start.column - 1);
  const after = (lines.at(-1) ?? "").slice(end.column - 1);
  const mutated = `${before}${mutant.replacement}${after}`.split("\n");
  return [
    `${mutant.fileName}:${start.line}:${start.column} ${mutant.mutatorName} (${mutant.status})`,
    ...lines.map((line) => `-${line}`),
    ...mutated.map((line) => `+${line}`),
  ].join("\n");
}

/**
 * Judges all mutants that were tried.
 *
 * @param {readonly Mutant[]} mutants `fileName` relative to the page's folder
 * @param {readonly Equivalent[]} listed
 * @param {ReadonlyMap<string, string>} sources text of each file
 * @returns {{ folders: Map<string, Tally>, survivors: Mutant[], stale: Equivalent[] }} `stale`: listed for a file that was
 *   tried, and no survivor is like it
 */
export function judge(mutants, listed, sources) {
  /** @type {Map<string, Tally>} */
  const folders = new Map();
  const survivors = [];
  const left = listed.map((one) => one.times ?? 1);
  for (const mutant of mutants) {
    if (!DETECTED.has(mutant.status) && !UNDETECTED.has(mutant.status)) continue;
    const folder = posix.dirname(mutant.fileName);
    const tally = folders.get(folder) ?? { mutants: 0, killed: 0, equivalent: 0, survived: 0 };
    folders.set(folder, tally);
    tally.mutants++;
    if (DETECTED.has(mutant.status)) {
      tally.killed++;
      continue;
    }
    const source = sources.get(mutant.fileName) ?? "";
    const at = listed.findIndex((one, i) => (left[i] ?? 0) > 0 && isLike(mutant, one, source));
    if (at >= 0) {
      left[at] = (left[at] ?? 0) - 1;
      tally.equivalent++;
    } else {
      tally.survived++;
      survivors.push(mutant);
    }
  }
  const tried = new Set(mutants.map((mutant) => mutant.fileName));
  const stale = listed.filter((one, i) => (left[i] ?? 0) > 0 && tried.has(one.file));
  return { folders, survivors, stale };
}

/**
 * Percent of the mutants that can change behaviour and were noticed; 100 where there is none.
 *
 * @param {Tally} tally
 */
export function score({ mutants, killed, equivalent }) {
  return mutants === equivalent ? 100 : (100 * killed) / (mutants - equivalent);
}

/**
 * @param {Mutant} mutant
 * @param {Equivalent} one
 * @param {string} source
 */
function isLike(mutant, one, source) {
  return (
    mutant.fileName === one.file &&
    mutant.mutatorName === one.mutator &&
    mutant.replacement === one.replacement &&
    source.split("\n")[mutant.location.start.line - 1]?.trim() === one.line &&
    originalOf(mutant, source) === one.original
  );
}
