import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { say, top } from "./run.mjs";

/**
 * Makes node_modules/.bin/bun work where npm held back install scripts.
 * The package's postinstall moves the platform package's binary over a placeholder; without it the placeholder only
 * complains, and the binary still lies in its platform package. Here the same is done by a hard link.
 */
export function ensureBun() {
  const target = path.join(top, "node_modules/bun/bin/bun.exe");
  const wanted = JSON.parse(fs.readFileSync(path.join(top, "node_modules/bun/package.json"), "utf8")).version;
  if (isBinary(target) && versionOf(target) === wanted) return target;
  for (const candidate of candidates()) {
    if (versionOf(candidate) !== wanted) continue;
    link(candidate, target);
    link(candidate, path.join(top, "node_modules/bun/bin/bunx.exe"));
    say(`bun ${wanted} linked from ${path.relative(top, candidate)}`);
    return target;
  }
  throw new Error(
    `no bun ${wanted} for ${process.platform} ${process.arch} came with the npm packages; ` +
      "remove node_modules and run again, or check that the registry carries @oven/bun-*",
  );
}

/** The platform packages' binaries that npm brought, the plain build first: the baseline one is for older processors. */
function candidates() {
  const folder = path.join(top, "node_modules/@oven");
  const names = fs.existsSync(folder) ? fs.readdirSync(folder) : [];
  const prefix = `bun-${process.platform}-${process.arch === "arm64" ? "aarch64" : process.arch}`;
  return names
    .filter((name) => name.startsWith(prefix))
    .sort((a, b) => a.length - b.length)
    .map((name) => path.join(folder, name, "bin/bun"))
    .filter(isBinary);
}

/** A binary that does not start here (another libc, an older processor) has no version. */
function versionOf(file) {
  const result = spawnSync(file, ["--version"], { encoding: "utf8", timeout: 20_000 });
  return result.status === 0 ? result.stdout.trim() : undefined;
}

function isBinary(file) {
  // The placeholder is a shell script of a few lines.
  return fs.existsSync(file) && fs.statSync(file).size > 1_000_000;
}

function link(from, to) {
  const temporary = `${to}.${process.pid}`;
  try {
    fs.linkSync(from, temporary);
  } catch {
    fs.copyFileSync(from, temporary); // no hard links on this file system
  }
  fs.chmodSync(temporary, 0o755);
  fs.renameSync(temporary, to);
}
