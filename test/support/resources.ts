import fs from "node:fs/promises";

/** What a piece of work may leave behind on the machine. */
export interface Resources {
  /** "pid command line" each. */
  readonly processes: readonly string[];
  readonly mounts: readonly string[];
  /** Below the token's own cgroup: a runtime removes a container's, never the namespace's above it. */
  readonly cgroups: readonly string[];
  readonly networkNamespaces: readonly string[];
}

/**
 * Finds everything on the machine that carries a token: a process by its command line, environment or cgroup, a mount
 * by its line in mountinfo, a cgroup and a network namespace by its path.
 * A token is a name made for one workspace, so that what others do at the same time does not count.
 */
export async function snapshotResources(token: string): Promise<Resources> {
  // Processes first: the search for cgroups is a process that carries the token itself.
  const processes = await findProcesses(token);
  const [mounts, cgroups, networkNamespaces] = await Promise.all([
    findMounts(token),
    findCgroups(token),
    findNames("/run/netns", token),
  ]);
  return { processes, mounts, cgroups, networkNamespaces };
}

/** True when nothing is left. */
export function isEmpty(resources: Resources): boolean {
  return Object.values(resources).every((list: readonly string[]) => list.length === 0);
}

/** The pids of processes that carry the token, this one excepted. */
export async function findProcesses(token: string): Promise<readonly string[]> {
  const pids = (await fs.readdir("/proc")).filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid);
  const found = await Promise.all(
    pids.map(async (pid) => {
      const [command, environment, cgroup] = await Promise.all(
        ["cmdline", "environ", "cgroup"].map((name) => readOrEmpty(`/proc/${pid}/${name}`)),
      );
      const carries = [command, environment, cgroup].some((text) => text?.includes(token));
      return carries ? [`${pid} ${(command ?? "").replaceAll("\0", " ").trim()}`] : [];
    }),
  );
  return found.flat();
}

async function findMounts(token: string): Promise<readonly string[]> {
  const lines = (await readOrEmpty("/proc/self/mountinfo")).split("\n");
  return lines.filter((line) => line.includes(token)).map((line) => line.split(" ")[4] ?? line);
}

async function findCgroups(token: string): Promise<readonly string[]> {
  const child = Bun.spawn(["find", "/sys/fs/cgroup", "-type", "d", "-path", `*${token}*/*`], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "ignore", // cgroups of others come and go under the search
  });
  const text = await child.stdout.text();
  return text.split("\n").filter((line) => line !== "");
}

async function findNames(folder: string, token: string): Promise<readonly string[]> {
  const names = await fs.readdir(folder).catch(() => []); // no such folder: no namespaces were ever named
  return names.filter((name) => name.includes(token));
}

async function readOrEmpty(file: string): Promise<string> {
  try {
    return await fs.readFile(file, "utf8");
  } catch {
    return ""; // the process ended while we looked
  }
}
