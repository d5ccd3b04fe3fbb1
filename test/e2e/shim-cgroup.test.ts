import { describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, rmdirSync } from "node:fs";
import fs from "node:fs/promises";
import path from "node:path";
import { create } from "@bufbuild/protobuf";
import { OptionsSchema } from "../../src/gen/containerd/runc/v1/oci_pb.ts";
import { Snapshots } from "../../src/gen/containerd/services/snapshots/v1/snapshots_pb.ts";
import { Tasks } from "../../src/gen/containerd/services/tasks/v1/tasks_pb.ts";
import { messageOf } from "../../src/lib/faults.ts";
import { anyOf } from "../../src/wire/any.ts";
import { connectGrpc } from "../../src/wire/grpc/index.ts";
import {
  busyboxImage,
  createWorkspace,
  type Daemon,
  daemonNeeds,
  importBusybox,
  missing,
  startContainerd,
  startLighter,
  type Workspace,
  waitFor,
} from "../support/index.ts";

const bin = path.resolve(import.meta.dir, "../../bin");
const lacks = missing(["ours", "containerd", ...daemonNeeds()]);

/** A cgroup in each hierarchy, as containerd's clients make one for a shim. */
class Cgroup implements AsyncDisposable {
  readonly path: string;
  readonly folders: readonly string[];

  constructor(name: string) {
    this.path = `/${name}`;
    const mounts = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
    const v1 = mounts.filter((line) => line.includes(" - cgroup ")).map((line) => line.split(" ")[4] ?? "");
    this.folders = (v1.length === 0 ? ["/sys/fs/cgroup"] : [...new Set(v1)])
      // A new cpuset has no processors, and takes no processes.
      .filter((folder) => v1.length === 0 || !folder.includes("cpuset"))
      .map((folder) => folder + this.path);
    for (const folder of this.folders) mkdirSync(folder);
  }

  /** Command lines by process. */
  members(folder: string = this.folders[0] ?? ""): ReadonlyMap<number, string> {
    const pids = readFileSync(`${folder}/cgroup.procs`, "utf8").split("\n").filter(Boolean).map(Number);
    return new Map(pids.map((pid) => [pid, readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ")]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const isEmpty = () => this.folders.every((folder) => this.members(folder).size === 0);
    await waitFor("the shim to leave its cgroup", isEmpty, 30_000);
    for (const folder of this.folders) rmdirSync(folder);
  }
}

/** Makes and starts a container whose shim is wanted in a cgroup. */
async function start(daemon: Daemon, runtime: string, id: string, shimCgroup: string): Promise<number> {
  await daemon.ctrOk(["container", "create", "--runtime", runtime, busyboxImage, id, "sleep", "1000"]);
  await using connection = await connectGrpc({ path: daemon.address });
  const call = { namespace: daemon.namespace };
  const { mounts: rootfs } = await connection.client(Snapshots).mounts({ snapshotter: "overlayfs", key: id }, call);
  const options = anyOf(OptionsSchema, create(OptionsSchema, { binaryName: daemon.runtime, shimCgroup }));
  const { pid } = await connection.client(Tasks).create({ containerId: id, rootfs, options }, call);
  await connection.client(Tasks).start({ containerId: id }, call);
  return pid;
}

const daemons = [
  ["lighterd", startLighter, "io.containerd.runc.v2"],
  ["containerd", startContainerd, "io.containerd.runc.v2"],
] as const;

describe.skipIf(lacks !== undefined).each(daemons)("ShimCgroup under %s", (_name, launch, runtime) => {
  test("puts the shim into that cgroup, however its path is written, and its containers elsewhere", async () => {
    await using place = await createLinkedShim();
    const PATH = `${place.folder}:${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`;
    await using daemon = await launch({ env: { PATH } });
    await importBusybox(daemon);
    await using cgroup = new Cgroup(`lighter-shim-${process.pid}-${Math.random().toString(36).slice(2, 8)}`);
    const name = cgroup.path.slice(1);
    const one = await start(daemon, runtime, "one", cgroup.path);
    const hosts = () => [...cgroup.members()].filter(([, words]) => / host --socket /.test(words));
    expect(hosts()).toHaveLength(1);
    const [host = 0] = hosts()[0] ?? [];
    for (const folder of cgroup.folders) expect([...cgroup.members(folder).keys()]).toContain(host);
    const two = await start(daemon, runtime, "two", `${name}/`);
    await start(daemon, runtime, "three", "");
    expect(hosts()).toEqual([[host, expect.any(String)]]);
    for (const pid of [one, two]) expect([...cgroup.members().keys()]).not.toContain(pid);
    const daemonScore = Number(readFileSync(`/proc/${daemon.pid}/oom_score_adj`, "utf8"));
    expect(Number(readFileSync(`/proc/${host}/oom_score_adj`, "utf8"))).toBe(Math.min(1000, daemonScore + 1));

    await daemon.kill();
    await daemon.start();
    const list = await daemon.ctrOk(["tasks", "ls"]);
    for (const id of ["one", "two", "three"]) expect(list).toMatch(new RegExp(`^${id} +\\d+ +RUNNING`, "m"));
    expect(await start(daemon, runtime, "four", "/lighter-no-such-cgroup").catch(messageOf)).toContain(
      "failed to load cgroup /lighter-no-such-cgroup",
    );
    for (const id of ["one", "two", "three"]) await daemon.ctr(["tasks", "rm", "-f", id]);
    expect(existsSync(`/proc/${one}`)).toBe(false);
    for (const id of ["one", "two", "three", "four"]) await daemon.ctrOk(["containers", "rm", id]);
  }, 120_000);
});

/** Our program in the place of runc's shim, for a containerd that looks for that. */
async function createLinkedShim(): Promise<Workspace> {
  const place = await createWorkspace();
  await fs.symlink(`${bin}/containerd-shim-lighter-v2`, `${place.folder}/containerd-shim-runc-v2`);
  return place;
}
