import fs from "node:fs";
import path from "node:path";
import { which } from "./debian.mjs";
import { run, say, top } from "./run.mjs";

/** Debian's newest CRIU and a crun built with it, unpacked into a folder of the tests' own. */
const packages = ["criu", "crun", "libcriu2"];
const folder = path.join(top, ".cache/criu");

/**
 * Puts wrappers named criu and crun into .cache/criu/bin, for tests that checkpoint.
 * A stable Debian's CRIU does not know a newer kernel, and its crun is built without CRIU. What is fetched here comes
 * from the machine's own Debian mirror, with apt's own checks and state folders apart from the system's, and starts
 * through its own dynamic linker, so that nothing of the system is touched.
 * Failing is no error: the checkpoint tests skip by name.
 */
export function ensureCriu() {
  if (fs.existsSync(path.join(folder, "bin/criu"))) return;
  if (process.platform !== "linux" || process.getuid?.() !== 0 || which("apt-get") === undefined) return;
  const work = `${folder}.${process.pid}`;
  try {
    say("fetching criu for the checkpoint tests");
    fs.rmSync(folder, { recursive: true, force: true });
    fetchPackages(work);
    writeWrapper(work, "criu", "usr/sbin/criu");
    writeWrapper(work, "crun", "usr/bin/crun");
    fs.renameSync(work, folder);
    run(path.join(folder, "bin/criu"), ["--version"]);
  } catch (error) {
    fs.rmSync(folder, { recursive: true, force: true });
    say(`no criu, so the checkpoint tests will be skipped: ${error.message.split("\n").slice(-3).join(" ")}`);
  } finally {
    fs.rmSync(work, { recursive: true, force: true });
  }
}

function fetchPackages(work) {
  for (const name of ["lists/partial", "cache/archives/partial", "etc", "root", "bin"]) {
    fs.mkdirSync(path.join(work, name), { recursive: true });
  }
  fs.writeFileSync(path.join(work, "status"), "");
  fs.writeFileSync(path.join(work, "etc/sid.sources"), sidSource());
  fs.writeFileSync(path.join(work, "apt.conf"), aptConfig(work));
  const env = { ...process.env, APT_CONFIG: path.join(work, "apt.conf"), DEBIAN_FRONTEND: "noninteractive" };
  run("apt-get", ["update"], { env });
  // With an empty status file apt takes nothing as installed, so the libraries come along, libc and its linker too.
  run("apt-get", ["install", "-y", "--download-only", ...packages], { env });
  const archives = path.join(work, "cache/archives");
  for (const name of fs.readdirSync(archives).filter((file) => file.endsWith(".deb"))) {
    run("dpkg-deb", ["-x", path.join(archives, name), path.join(work, "root")]);
  }
  for (const name of ["lists", "cache"]) fs.rmSync(path.join(work, name), { recursive: true, force: true });
}

/** A source for Debian's unstable suite on the mirror, and under the keys, that this machine already uses. */
function sidSource() {
  const targets = run("apt-get", ["indextargets", "--format", "$(SITE)|$(ORIGIN)|$(COMPONENT)|$(CODENAME)"])
    .split("\n")
    .map((line) => line.split("|"));
  const found = targets.find(
    ([site, origin, component, codename]) =>
      origin === "Debian" && component === "main" && !/security/.test(site ?? "") && !/-/.test(codename ?? ""),
  );
  if (found === undefined) throw new Error("apt has no Debian mirror (only Debian's own archive has a criu to take)");
  const keys = ["/usr/share/keyrings/debian-archive-keyring.gpg", "/usr/share/keyrings/debian-archive-keyring.pgp"];
  const signedBy = keys.find((file) => fs.existsSync(file));
  if (signedBy === undefined) throw new Error("debian-archive-keyring is not installed");
  return `Types: deb\nURIs: ${found[0]}\nSuites: sid\nComponents: main\nSigned-By: ${signedBy}\n`;
}

function aptConfig(work) {
  const settings = {
    "Dir::Etc::sourcelist": `${work}/etc/sid.sources`,
    "Dir::Etc::sourceparts": "-",
    "Dir::State": work,
    "Dir::State::lists": `${work}/lists`,
    "Dir::State::status": `${work}/status`,
    "Dir::Cache": `${work}/cache`,
    "APT::Install-Recommends": "false",
    "APT::Sandbox::User": "root", // the checkout may lie where apt's own user cannot read
    "Acquire::Languages": "none",
    "Debug::NoLocking": "true",
  };
  return Object.entries(settings)
    .map(([key, value]) => `${key} "${value}";\n`)
    .join("");
}

/** A program that brings its own linker and libraries, found beside the wrapper wherever the checkout is moved. */
function writeWrapper(work, name, program) {
  const libraries = fs
    .readdirSync(path.join(work, "root/usr/lib"))
    .map((entry) => `usr/lib/${entry}`)
    .find((entry) => fs.existsSync(path.join(work, "root", entry, "libc.so.6")));
  const linker = fs.readdirSync(path.join(work, "root", libraries)).find((entry) => entry.startsWith("ld-linux"));
  const script = `#!/bin/sh
root=$(dirname "$(readlink -f "$0")")/../root
exec "$root/${libraries}/${linker}" --library-path "$root/${libraries}" "$root/${program}" "$@"
`;
  fs.writeFileSync(path.join(work, "bin", name), script, { mode: 0o755 });
}
