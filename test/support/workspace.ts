import fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { findProcesses, isEmpty, snapshotResources } from "./resources.ts";
import { run } from "./run.ts";
import { waitFor } from "./wait.ts";

/** A folder of a test's own, whose name marks all that is made from it. */
export interface Workspace extends AsyncDisposable {
  readonly folder: string;
  /** The folder's unique name; also good as a containerd namespace. */
  readonly token: string;
  /** Fails when a process, mount, cgroup or network namespace that carries the token is left after a short grace. */
  expectNoLeaks(): Promise<void>;
}

/** Makes a workspace. Disposing it removes the folder, and by force whatever a failed test left behind. */
export async function createWorkspace(): Promise<Workspace> {
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), "lt-"));
  const token = path.basename(folder);
  return {
    folder,
    token,
    expectNoLeaks: () => expectNoLeaks(token),
    [Symbol.asyncDispose]: () => removeWorkspace(folder, token),
  };
}

const graceMs = 5_000;

/** Waits until nothing carries the token any more. Errors: with a list of what is left. */
export async function expectNoLeaks(token: string): Promise<void> {
  try {
    await waitFor("resources to go", async () => isEmpty(await snapshotResources(token)), graceMs);
  } catch {
    const left = await snapshotResources(token);
    if (!isEmpty(left)) throw new Error(`left behind:\n${JSON.stringify(left, undefined, 2)}`);
  }
}

async function removeWorkspace(folder: string, token: string): Promise<void> {
  for (const line of await findProcesses(token)) {
    try {
      process.kill(Number.parseInt(line, 10), "SIGKILL");
    } catch {
      // it ended by itself
    }
  }
  await waitFor("processes to end", async () => (await findProcesses(token)).length === 0, graceMs).catch(() => {});
  const left = await snapshotResources(token);
  for (const mount of left.mounts.toReversed()) await run(["umount", "-l", mount]);
  const namespaceCgroups = await fs.readdir("/sys/fs/cgroup").catch(() => []); // no cgroups here
  const cgroups = [...left.cgroups.toReversed(), ...namespaceCgroups.map((name) => `/sys/fs/cgroup/${name}/${token}`)];
  for (const cgroup of [...cgroups, `/sys/fs/cgroup/${token}`]) await fs.rmdir(cgroup).catch(() => {}); // was never made
  // Where containerd's shims keep the runtime's state when nobody says otherwise.
  await fs.rmdir(`/run/containerd/runc/${token}`).catch(() => {}); // was never made
  await fs.rm(folder, { recursive: true, force: true });
}
