#!/bin/sh
# Builds dist/lighter, one executable for every program of lighter, and links it under their names.
set -eu
cd "$(dirname "$0")/.."
mkdir -p dist
node_modules/.bin/bun build --compile --minify \
  --no-compile-autoload-dotenv --no-compile-autoload-bunfig --outfile=dist/lighter bin/all.ts
for name in lighterd containerd-shim-lighter-v2; do ln -sf lighter "dist/$name"; done
