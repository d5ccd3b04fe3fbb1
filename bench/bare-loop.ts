// The floor under every daemon: the OCI runtime alone, on a root that is there already.
// usage: bun bench/bare-loop.ts RUNTIME COUNT IN_FLIGHT; prints containers a second.
// Run in a process of its own, so that it can be put into the mount namespace that crun wants.
import fs from "node:fs/promises";
import path from "node:path";
import { createWorkspace, runOk, writeBusyboxRootfs } from "../test/support/index.ts";
import { perSecond } from "./sides.ts";

const [runtime = "runc", count = "20", inFlight = "1"] = process.argv.slice(2);
await using workspace = await createWorkspace();
const rootfs = await writeBusyboxRootfs(path.join(workspace.folder, "rootfs"));
const state = path.join(workspace.folder, "state");
const spec = JSON.parse(await specText());

const rate = await perSecond(Number(count), Number(inFlight), async (index) => {
  const id = `bare${index}`;
  const bundle = path.join(workspace.folder, id);
  await fs.mkdir(bundle);
  const own = { ...spec, linux: { ...spec.linux, cgroupsPath: `/${workspace.token}/${id}` } };
  await fs.writeFile(path.join(bundle, "config.json"), JSON.stringify(own));
  const pidFile = path.join(bundle, "pid");
  await runtimeOk(["create", "--bundle", bundle, "--pid-file", pidFile, id]);
  await runtimeOk(["start", id]);
  const pid = await fs.readFile(pidFile, "utf8");
  while (!(await isOver(pid))) await Bun.sleep(1);
  await runtimeOk(["delete", id]);
});
console.log(rate);

async function specText(): Promise<string> {
  await runOk([runtime, "spec"], { cwd: workspace.folder });
  const text = await fs.readFile(path.join(workspace.folder, "config.json"), "utf8");
  const value = JSON.parse(text);
  value.root = { path: rootfs, readonly: false };
  value.process = { ...value.process, args: ["true"], terminal: false };
  value.mounts = value.mounts.filter((mount: { type: string }) => !mount.type.startsWith("cgroup"));
  return JSON.stringify(value);
}

async function runtimeOk(args: readonly string[]): Promise<void> {
  const child = Bun.spawn([runtime, "--root", state, ...args], { stdio: ["ignore", "ignore", "inherit"] });
  const code = await child.exited;
  if (code !== 0) throw new Error(`${runtime} ${args.join(" ")} ended with ${code}`);
}

async function isOver(pid: string): Promise<boolean> {
  const stat = await fs.readFile(`/proc/${pid}/stat`, "utf8").catch(() => ""); // gone
  return stat === "" || /\) Z /.test(stat);
}
