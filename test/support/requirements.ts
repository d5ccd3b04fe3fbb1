import { test } from "bun:test";
import { spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { openSha256 } from "../../src/sys/index.ts";

const top = path.resolve(import.meta.dir, "../..");

/** The folder into which the set-up put a CRIU, and a crun that knows it. */
export const criuFolder: string = path.join(top, ".cache/criu/bin");

/** The folder into which the set-up unpacked Debian's dockerd. */
export const dockerFolder: string = path.join(top, ".cache/docker");

/** What a test may need of the machine. */
export type Need =
  | "ours"
  | "root"
  | "ctr"
  | "containerd"
  | "runc"
  | "crun"
  | "busybox"
  | "overlayfs"
  | "criu"
  | "dockerd"
  | "docker-registry"
  | "skopeo"
  | "lighterd"
  | "registry"
  | "libcrypto"
  | "strace"
  | "dpkg-deb"
  | "systemd-analyze"
  | "umoci";

const program = (name: string): boolean =>
  Bun.which(name, { PATH: `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin` }) !== null;

/** Answers with what is missing, and how to have it. */
const checks: Readonly<Record<Need, () => string | undefined>> = {
  ours: () => (process.env["LIGHTER_E2E_DAEMON"] === "containerd" ? "lighter alone promises this" : undefined),
  root: () => (process.getuid?.() === 0 ? undefined : "needs root"),
  ctr: () => (program("ctr") ? undefined : "needs ctr: install containerd"),
  strace: () => (program("strace") ? undefined : "needs strace: install strace"),
  "dpkg-deb": () => (program("dpkg-deb") ? undefined : "needs dpkg-deb: install dpkg"),
  "systemd-analyze": () => (program("systemd-analyze") ? undefined : "needs systemd-analyze: install systemd"),
  umoci: () => (program("umoci") ? undefined : "needs umoci: install umoci"),
  libcrypto: () => (openSha256() === undefined ? "needs libcrypto.so.3: install libssl3" : undefined),
  containerd: () => (program("containerd") ? undefined : "needs containerd: install containerd"),
  runc: () => (program("runc") ? undefined : "needs runc: install runc"),
  crun: () => (program("crun") ? undefined : "needs crun: install crun"),
  busybox: () => (program("busybox") ? undefined : "needs busybox: install busybox-static"),
  overlayfs: () =>
    fs.readFileSync("/proc/filesystems", "utf8").includes("overlay") ? undefined : "needs overlayfs: modprobe overlay",
  "docker-registry": () => (program("docker-registry") ? undefined : "needs a registry: install docker-registry"),
  skopeo: () => (program("skopeo") ? undefined : "needs skopeo: install skopeo"),
  criu: criuTrouble,
  dockerd: dockerTrouble,
  registry: () => {
    const absent = ["docker-registry", "skopeo", "openssl"].filter((name) => !program(name));
    return absent.length === 0 ? undefined : `needs ${absent.join(", ")}: install ${absent.join(" ")}`;
  },
  lighterd: () => (fs.existsSync(path.join(top, "bin/lighterd")) ? undefined : "needs bin/lighterd"),
};

const known = new Map<Need, string | undefined>();

/** Why a test cannot run here; undefined when it can. */
export function missing(needs: readonly Need[]): string | undefined {
  return needs
    .map((need) => {
      if (!known.has(need)) known.set(need, checks[need]());
      return known.get(need);
    })
    .find((reason) => reason !== undefined);
}

/** Declares a test that is skipped, with the reason in its name, where the machine lacks what it needs. */
export function testNeeding(needs: readonly Need[], name: string, body: () => Promise<void>, timeoutMs = 60_000): void {
  const reason = missing(needs);
  if (reason === undefined) test(name, body, timeoutMs);
  else test.skip(`${name} [${reason}]`, body);
}

function dockerTrouble(): string | undefined {
  const file = path.join(dockerFolder, "usr/sbin/dockerd");
  if (!fs.existsSync(file)) return "needs dockerd: npm run setup";
  const { status, stderr } = spawnSync(file, ["--version"], { encoding: "utf8" });
  return status === 0 ? undefined : `needs a dockerd that runs here: ${stderr.split("\n")[0] ?? ""}`;
}

/** The wrapped CRIU may be there and yet not know this kernel. */
function criuTrouble(): string | undefined {
  if (!fs.existsSync(path.join(criuFolder, "criu"))) return "needs criu: npm run setup";
  const check = spawnSync(path.join(criuFolder, "criu"), ["check"], { encoding: "utf8" });
  return check.status === 0 ? undefined : `needs a criu that knows this kernel: ${check.stderr.split("\n")[0] ?? ""}`;
}
