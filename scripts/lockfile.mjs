// Completes package-lock.json with the platform packages that npm left out.
// npm leaves an optional package out of the lock file when the registry at hand does not carry it, and `npm ci` then
// refuses the whole file. Plain JavaScript, since it may have to run before anything is installed.
// usage: node scripts/lockfile.mjs [--check]
import fs from "node:fs";
import path from "node:path";
import process from "node:process";
import { top } from "./setup/run.mjs";

const file = path.join(top, "package-lock.json");
const lock = JSON.parse(fs.readFileSync(file, "utf8"));
const missing = missingEntries(lock.packages);

if (process.argv.includes("--check")) {
  for (const { name } of missing) console.error(`${name} is not in package-lock.json`);
  if (missing.length > 0) {
    console.error("run `node scripts/lockfile.mjs` and commit what it writes");
    process.exitCode = 1;
  }
} else if (missing.length > 0) {
  const { "": root, ...rest } = lock.packages;
  const added = Object.fromEntries(missing.map(({ name, entry }) => [name, entry]));
  const sorted = Object.entries({ ...rest, ...added }).sort(([a], [b]) => (a < b ? -1 : 1));
  lock.packages = { "": root, ...Object.fromEntries(sorted) };
  fs.writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
  console.error(`${missing.length} platform packages added to package-lock.json`);
}

function missingEntries(packages) {
  return Object.entries(packages).flatMap(([owner, entry]) =>
    Object.entries(entry.optionalDependencies ?? {})
      .filter(([name]) => !(`node_modules/${name}` in packages) && !(`${owner}/node_modules/${name}` in packages))
      .map(([name, version]) => ({
        name: `node_modules/${name}`,
        entry: { version, ...platformOf(name), dev: true, optional: true },
      })),
  );
}

/** What such a package's name says of the machines it is for; npm skips it on all others. */
function platformOf(name) {
  const words = name.split(/[-/]/);
  const systems = ["android", "darwin", "freebsd", "linux", "openharmony", "win32"];
  const processors = { arm64: "arm64", aarch64: "arm64", arm: "arm", armv7: "arm", ia32: "ia32", x64: "x64" };
  const plain = ["ppc64", "riscv64", "s390x"];
  const os = systems.find((system) => words.includes(system));
  const cpu = words.map((word) => processors[word] ?? plain.find((one) => one === word)).find(Boolean);
  const libc = words.some((word) => word.startsWith("musl")) ? "musl" : "glibc";
  return {
    ...(cpu === undefined ? {} : { cpu: [cpu] }),
    ...(os === undefined ? {} : { os: [os] }),
    ...(os === "linux" && /musl|gnu/.test(name) ? { libc: [libc] } : {}),
  };
}
