import { createHash } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { run, say, top } from "./run.mjs";

/** Installs what the lock file names when node_modules is missing, of another lock file, or of another machine. */
export function ensureNpmPackages() {
  const stamp = path.join(top, "node_modules/.lighter-lock");
  const want = `${process.platform} ${process.arch} ${hashOf(path.join(top, "package-lock.json"))}`;
  if (readOrEmpty(stamp) === want) return;
  if (!fs.existsSync(stamp) && matchesLock()) {
    fs.writeFileSync(stamp, want);
    return;
  }
  say("installing npm packages");
  run("npm", ["ci", "--no-audit", "--no-fund"]);
  fs.writeFileSync(stamp, want);
}

/** True for a tree that npm itself already brought to the lock file's versions. */
function matchesLock() {
  const installed = readJson(path.join(top, "node_modules/.package-lock.json"))?.packages;
  const wanted = readJson(path.join(top, "package-lock.json"))?.packages;
  if (installed === undefined || wanted === undefined) return false;
  return Object.entries(wanted).every(
    ([name, entry]) => name === "" || entry.optional === true || installed[name]?.version === entry.version,
  );
}

function hashOf(file) {
  return createHash("sha256").update(fs.readFileSync(file)).digest("hex");
}

function readOrEmpty(file) {
  try {
    return fs.readFileSync(file, "utf8");
  } catch {
    return ""; // not there: nothing was installed by us yet
  }
}

function readJson(file) {
  try {
    return JSON.parse(fs.readFileSync(file, "utf8"));
  } catch {
    return undefined; // missing or cut short: as good as not installed
  }
}
