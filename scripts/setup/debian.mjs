import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { run, say } from "./run.mjs";

/** What each goal needs of the machine: any one of the files, and the Debian package that brings it. */
const needs = [
  { goals: ["demo", "test", "bench"], file: "busybox", package: "busybox-static", also: isStatic },
  { goals: ["demo"], file: ["runc", "crun"], package: "runc" },
  { goals: ["test", "bench"], file: "runc", package: "runc" },
  { goals: ["test", "bench"], file: "crun", package: "crun" },
  { goals: ["test", "bench"], file: "containerd", package: "containerd" },
  { goals: ["test", "bench"], file: "ctr", package: "containerd" },
  { goals: ["test", "bench"], file: "docker-registry", package: "docker-registry" },
  { goals: ["test", "bench"], file: "skopeo", package: "skopeo" },
  { goals: ["test"], file: "umoci", package: "umoci" },
  { goals: ["test"], file: "strace", package: "strace" },
  { goals: ["test", "bench"], file: "openssl", package: "openssl" },
  { goals: ["test", "bench"], file: "unshare", package: "util-linux" },
  { goals: ["test", "bench"], file: "iptables-restore", package: "iptables" }, // CRIU locks the network with it
];

/**
 * Installs what the goal needs through apt as root; else says what to install.
 * Returns the packages that are still missing.
 */
export function ensureDebianPackages(goal) {
  const missing = missingFor(goal);
  if (missing.length === 0) return [];
  const command = `apt-get install -y ${missing.join(" ")}`;
  if (which("apt-get") === undefined) {
    say(`these Debian packages, or what your system calls them, are needed: ${missing.join(" ")}`);
    return missing;
  }
  if (process.getuid?.() !== 0) {
    say(`please install what is missing: sudo ${command}`);
    return missing;
  }
  say(`installing ${missing.join(" ")}`);
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C" };
  // Daemons that the packages bring must not be started: the tests start their own, with folders of their own.
  withoutServiceStart(() => {
    const install = ["install", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=300", ...missing];
    try {
      run("apt-get", install, { env });
    } catch {
      // The lists may be missing or out of date, as on a fresh image.
      run("apt-get", ["update", "-o", "DPkg::Lock::Timeout=300"], { env });
      run("apt-get", install, { env });
    }
  });
  return missingFor(goal);
}

function missingFor(goal) {
  const missing = needs.filter((need) => {
    if (!need.goals.includes(goal)) return false;
    return ![need.file].flat().some((file) => {
      const found = which(file);
      return found !== undefined && (need.also === undefined || need.also(found));
    });
  });
  return [...new Set(missing.map((need) => need.package))];
}

/** Where a program is, /sbin included: root's PATH may lack it in a bare environment. */
export function which(name) {
  const folders = [...(process.env.PATH ?? "").split(":"), "/usr/sbin", "/sbin", "/usr/bin", "/bin"];
  return folders.map((folder) => path.join(folder, name)).find((file) => fs.existsSync(file));
}

/** A container's root has no libraries, so only a static busybox runs there. */
function isStatic(file) {
  return !fs.readFileSync(file).subarray(0, 4096).includes("ld-linux");
}

/** Keeps package scripts from starting services, by the file that Debian's invoke-rc.d asks. */
function withoutServiceStart(action) {
  const policy = "/usr/sbin/policy-rc.d";
  if (fs.existsSync(policy)) return action();
  fs.writeFileSync(policy, "#!/bin/sh\nexit 101\n", { mode: 0o755 });
  try {
    return action();
  } finally {
    spawnSync("rm", ["-f", policy]);
  }
}
