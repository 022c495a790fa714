/** Readers of single fields: the exact type or a violation, never a coercion. */

import { type Checked, fail, pass } from "./types.ts";

type Fields = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Collects the first violation so that a list of fields reads as a list, not as a staircase. */
export class FieldReader {
  private readonly fields: Fields;
  private readonly prefix: string;
  violation: { ok: false; why: { field: string; expected: string; got: string } } | null = null;

  constructor(fields: Fields, prefix = "") {
    this.fields = fields;
    this.prefix = prefix;
  }

  reject(field: string, expected: string, got: unknown): void {
    this.violation ??= fail(this.prefix + field, expected, got);
  }

  finish<T>(make: () => T): Checked<T> {
    return this.violation ?? pass(make());
  }

  number(name: string): number {
    const value = this.fields[name];
    if (Number.isFinite(value)) return value as number;
    this.reject(name, "a finite number", value);
    return 0;
  }

  positive(name: string): number {
    const value = this.number(name);
    if (value <= 0) this.reject(name, "a number > 0", value);
    return value;
  }

  /** A whole number from `min` to `max`, both allowed; either may be left out. */
  integer(name: string, min?: number, max?: number): number {
    const value = this.fields[name];
    if (Number.isSafeInteger(value)) {
      const whole = value as number;
      if ((min === undefined || whole >= min) && (max === undefined || whole <= max)) return whole;
    }
    const range = max !== undefined ? ` from ${min} to ${max}` : min !== undefined ? ` >= ${min}` : "";
    this.reject(name, `an integer${range}`, value);
    return 0;
  }

  text(name: string): string {
    const value = this.fields[name];
    if (typeof value === "string" && value !== "") return value;
    this.reject(name, "a non-empty string", value);
    return "";
  }

  flag(name: string): boolean {
    const value = this.fields[name];
    if (typeof value === "boolean") return value;
    this.reject(name, "true or false", value);
    return false;
  }

  /** A 64-bit integer, which travels as a decimal string. */
  int64(name: string): bigint {
    const value = this.fields[name];
    if (typeof value === "string" && /^-?\d{1,19}$/.test(value)) {
      const whole = BigInt(value);
      if (BigInt.asIntN(64, whole) === whole) return whole;
    }
    this.reject(name, "a 64-bit integer as a decimal string", value);
    return 0n;
  }

  integers(name: string, min: number): number[] {
    const value = this.fields[name];
    if (Array.isArray(value) && value.length > 0 && value.every((v) => Number.isSafeInteger(v) && v >= min)) {
      return value as number[];
    }
    this.reject(name, `a list of integers >= ${min}`, value);
    return [];
  }

  numbers(name: string): number[] {
    const value = this.fields[name];
    if (Array.isArray(value) && value.every(Number.isFinite)) {
      return value as number[];
    }
    this.reject(name, "a list of numbers", value);
    return [];
  }

  texts(name: string): string[] {
    const value = this.fields[name];
    if (Array.isArray(value) && value.length > 0 && value.every((v) => typeof v === "string")) {
      return value as string[];
    }
    this.reject(name, "a list of strings", value);
    return [];
  }

  object(name: string): Record<string, unknown> {
    const value = this.fields[name];
    if (isObject(value)) return value;
    this.reject(name, "an object", value);
    return {};
  }

  objects(name: string): Record<string, unknown>[] {
    const value = this.fields[name];
    if (Array.isArray(value) && value.every(isObject)) return value;
    this.reject(name, "a list of objects", value);
    return [];
  }

  has(name: string): boolean {
    return this.fields[name] !== undefined && this.fields[name] !== null;
  }
}
