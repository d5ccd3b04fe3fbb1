#!/bin/sh
# usage: build.sh [FOLDER]
# Builds dist/lighter (or FOLDER/lighter), one executable for every program of lighter, and links it under their names.
# Split, so that each program parses its own part alone, and as bytecode: both together halve a short command's time
# and save each of the daemon and the shim host a fifth of its memory. What runs once, at a start, is not worth compiling to
# machine code: each program says when it has started (docs/adr/0023-starts-and-rests.md).
set -eu
cd "$(dirname "$0")/.."
folder=${1:-dist}
mkdir -p "$folder"
node_modules/.bin/bun build --compile --minify --splitting --bytecode --format=esm --compile-jit-policy=20 \
  --no-compile-autoload-dotenv --no-compile-autoload-bunfig --outfile="$folder/lighter" bin/all.ts
for name in lighterd containerd-shim-lighter-v2; do ln -sf lighter "$folder/$name"; done
