/** Reads a stream as a stranger would, with `ws` and Apache Arrow's own library: a line per bin with the hash of all its values.
 *
 *    node frontend/tests/support/read_stream.mjs ws://127.0.0.1:8002/v1/vacuum-pressure/stream?speed=0
 */

import { createHash } from "node:crypto";
import { tableFromIPC } from "apache-arrow";
import WebSocket from "ws";

const socket = new WebSocket(process.argv[2] ?? "", { perMessageDeflate: false });
let header = "";

socket.on("message", (data, isBinary) => {
  if (!isBinary) {
    const text = data.toString();
    header = text;
    return;
  }
  const table = tableFromIPC(new Uint8Array(/** @type {Buffer} */ (data)));
  const hash = createHash("sha256").update(header);
  for (const field of table.schema.fields) {
    const values = table.getChild(field.name)?.toArray();
    hash.update(field.name).update(new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  }
  console.log(JSON.parse(header).bin_seq, hash.digest("hex"));
});
socket.on("close", (code) => process.exit(code === 1000 ? 0 : 1));
