// The floor under every daemon: the OCI runtime alone, on a root that is there already.
// usage: bun bench/bare-loop.ts RUNTIME COUNT IN_FLIGHT [life|exec]; prints containers a second, or execs in one of them.
// Run in a process of its own, so that it can be put into the mount namespace that crun wants.
import fs from "node:fs/promises";
import path from "node:path";
import { createFdWatcher, createKernel, OwnedFd, pollEvents } from "../src/sys/index.ts";
import { createWorkspace, runOk, writeBusyboxRootfs } from "../test/support/index.ts";
import { perSecond } from "./sides.ts";

const [runtime = "runc", count = "20", inFlight = "1", work = "life"] = process.argv.slice(2);
const kernel = createKernel();
// What a runtime leaves running is this process's child then, as it is a shim's, and its end is told at once.
kernel.becomeSubreaper();
const watcher = createFdWatcher({ kernel, onError: (error) => console.error(error) });
const workspace = await createWorkspace();
const rootfs = await writeBusyboxRootfs(path.join(workspace.folder, "rootfs"));
const state = path.join(workspace.folder, "state");
const spec = await readSpec();
try {
  console.log(work === "exec" ? await execs() : await perSecond(Number(count), Number(inFlight), life));
} finally {
  await workspace[Symbol.asyncDispose]();
}
// What the watcher waits on keeps the loop up.
process.exit();

async function life(index: number): Promise<void> {
  const id = `bare${index}`;
  const pid = await createAndStart(id, ["true"]);
  await untilOver(pid);
  await runtimeOk(["delete", id]);
}

async function execs(): Promise<number> {
  const id = "bare";
  const init = await createAndStart(id, ["sleep", "1000"]);
  const processFile = path.join(workspace.folder, "process.json");
  await fs.writeFile(processFile, JSON.stringify({ ...spec.process, args: ["true"] }));
  try {
    return await perSecond(Number(count), Number(inFlight), async (index) => {
      const pidFile = path.join(workspace.folder, `exec${index}.pid`);
      await runtimeOk(["exec", "--process", processFile, "--pid-file", pidFile, "--detach", id]);
      await untilOver(Number(await fs.readFile(pidFile, "utf8")));
    });
  } finally {
    kernel.kill(init, 9);
    await untilOver(init);
    await runtimeOk(["delete", id]);
  }
}

async function createAndStart(id: string, args: readonly string[]): Promise<number> {
  const bundle = path.join(workspace.folder, id);
  await fs.mkdir(bundle);
  const own = {
    ...spec,
    process: { ...spec.process, args },
    linux: { ...spec.linux, cgroupsPath: `/${workspace.token}/${id}` },
  };
  await fs.writeFile(path.join(bundle, "config.json"), JSON.stringify(own));
  const pidFile = path.join(bundle, "pid");
  await runtimeOk(["create", "--bundle", bundle, "--pid-file", pidFile, id]);
  await runtimeOk(["start", id]);
  return Number(await fs.readFile(pidFile, "utf8"));
}

interface Spec {
  readonly process: Readonly<Record<string, unknown>>;
  readonly linux: Readonly<Record<string, unknown>>;
}

async function readSpec(): Promise<Spec> {
  await runOk([runtime, "spec"], { cwd: workspace.folder });
  const value = JSON.parse(await fs.readFile(path.join(workspace.folder, "config.json"), "utf8"));
  value.root = { path: rootfs, readonly: false };
  value.process = { ...value.process, terminal: false };
  value.mounts = value.mounts.filter((mount: { type: string }) => !mount.type.startsWith("cgroup"));
  return value;
}

async function runtimeOk(args: readonly string[]): Promise<void> {
  const child = Bun.spawn([runtime, "--root", state, ...args], { stdio: ["ignore", "ignore", "inherit"] });
  const code = await child.exited;
  if (code !== 0) throw new Error(`${runtime} ${args.join(" ")} ended with ${code}`);
}

/** Waits for the end of a child that no longer has the runtime for its parent, and reaps it. */
async function untilOver(pid: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  using pidfd = new OwnedFd(kernel, kernel.pidfdOpen(pid));
  using _watch = watcher.watch(pidfd.fd, pollEvents.readable, () => resolve());
  await promise;
  kernel.reap(pid);
}
