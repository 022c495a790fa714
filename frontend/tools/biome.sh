#!/bin/bash
# Biome's own binary, without its npm wrapper: that one lists binaries of platforms which not every registry mirror carries,
# and a lock file with holes does not install.
set -euo pipefail
for binary in node_modules/@biomejs/cli-linux-*/biome; do
  if [ -x "$binary" ]; then exec "$binary" "$@"; fi
done
echo "Biome is not installed on this platform: nothing was linted" >&2
