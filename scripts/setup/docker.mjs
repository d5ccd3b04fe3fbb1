import fs from "node:fs";
import path from "node:path";
import { which } from "./debian.mjs";
import { run, say, top } from "./run.mjs";

/** Debian's dockerd and its client, unpacked into a folder of the tests' own. */
const folder = path.join(top, ".cache/docker");

/**
 * Puts Debian's docker and dockerd into .cache/docker, for the tests that have it run its containers here. It is not
 * installed: the package would bring a service, a group and rules for the network.
 * Failing is no error: those tests skip by name.
 */
export function ensureDocker() {
  if (fs.existsSync(path.join(folder, "usr/sbin/dockerd"))) return;
  if (process.platform !== "linux" || process.getuid?.() !== 0 || which("apt-get") === undefined) return;
  const work = `${folder}.${process.pid}`;
  try {
    say("fetching dockerd for its tests");
    fs.rmSync(folder, { recursive: true, force: true });
    fs.mkdirSync(work, { recursive: true });
    const download = ["download", "-o", "APT::Sandbox::User=root", "docker.io"];
    try {
      run("apt-get", download, { cwd: work });
    } catch {
      // The lists may be missing or out of date, as on a fresh image.
      run("apt-get", ["update", "-o", "DPkg::Lock::Timeout=300"]);
      run("apt-get", download, { cwd: work });
    }
    const [archive] = fs.readdirSync(work).filter((file) => file.endsWith(".deb"));
    run("dpkg-deb", ["-x", path.join(work, archive), path.join(work, "root")]);
    fs.renameSync(path.join(work, "root"), folder);
  } catch (error) {
    say(`no dockerd, so its tests will be skipped: ${error.message.split("\n").slice(-3).join(" ")}`);
  } finally {
    fs.rmSync(work, { recursive: true, force: true });
  }
}
