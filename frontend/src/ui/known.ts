/** What the server says about itself, to fill the form with; nothing when it does not answer. */

import { isObject } from "../wire/fields.ts";

/** `product_type` and `symbol` from `/health`; `dt` and `start_time` where it tells them. */
export async function askServer(): Promise<Record<string, string>> {
  let body: unknown;
  try {
    const response = await fetch("/health");
    body = await response.json();
  } catch (error) {
    if (error instanceof TypeError || error instanceof SyntaxError) return {}; // no server here, or not ours
    throw error;
  }
  if (!isObject(body)) return {};
  const known: Record<string, string> = {};
  if (typeof body.instrument === "string") {
    const [productType, symbol] = body.instrument.split(":");
    if (productType) known.product_type = productType;
    if (symbol) known.symbol = symbol;
  }
  if (isObject(body.defaults)) {
    for (const name of ["dt", "start_time"]) {
      const value = body.defaults[name];
      if (typeof value === "string") known[name] = value;
    }
  }
  return known;
}
