import { describe, expect } from "bun:test";
import path from "node:path";
import {
  busyboxImage,
  type Daemon,
  daemonNeeds,
  importBusybox,
  run,
  sharedDaemon,
  startContainerd,
  startLighter,
  testNeeding,
  waitFor,
} from "../support/index.ts";

const program = path.join(import.meta.dir, "../../bin/lighter");
/** Uses memory, then processor time of its own and the kernel's. */
const script =
  "dd if=/dev/zero of=/file bs=1M count=4; x=$(head -c 3000000 /dev/zero | tr '\\0' x); i=0; while [ $i -lt 100000 ]; do i=$((i + 1)); done; sleep 1000";

/** A container's figures as ctr prints them, once it has written and used what the script says. */
async function figuresOf(daemon: Daemon): Promise<Record<string, unknown>> {
  const limits = ["--memory-limit", "100000000", "--cpu-quota", "50000", "--cpu-period", "100000"];
  const what = [...limits, ...daemon.runtimeFlags, busyboxImage, "c1", "sh", "-c", script];
  await daemon.ctrOk(["run", "-d", "--null-io", ...what]);
  const figures = await waitFor("its use", async () => {
    const text = await daemon.ctrOk(["tasks", "metrics", "--format", "json", "c1"]);
    const found: Record<string, unknown> = JSON.parse(text);
    const hasWorked = ["cpu.usage.user", "cpu.usage.kernel", "cpu.throttling.periods"].every(
      (at) => Number(valueAt(found, at)) > 0,
    );
    return Number(valueAt(found, "pids.current")) === 1 && hasWorked ? found : undefined;
  });
  await daemon.ctrOk(["tasks", "rm", "-f", "c1"]);
  await daemon.ctrOk(["containers", "rm", "c1"]);
  return figures;
}

/** Every path in a value that leads to a figure; the places in lists are one. */
function pathsIn(value: unknown, prefix = ""): string[] {
  if (Array.isArray(value)) return value.flatMap((each) => pathsIn(each, `${prefix}[]`));
  if (typeof value !== "object" || value === null) return [prefix];
  return Object.entries(value).flatMap(([name, each]) => pathsIn(each, prefix === "" ? name : `${prefix}.${name}`));
}

function valueAt(value: unknown, at: string): unknown {
  return at.split(".").reduce<unknown>((whole, name) => (whole as Record<string, unknown> | undefined)?.[name], value);
}

/** A figure that is 0 is left out, and these are so by chance. */
const byChance = /throttl|maj_fault|dirty|writeback|failcnt|active_anon|active_file|mapped_file|unevictable/;

/** What neither time nor chance decides. */
const settled = ["pids.limit", "memory.usage.limit", "memory.swap.limit", "memory.hierarchical_memory_limit"];

describe("a task's figures", () => {
  testNeeding([...daemonNeeds(), "ours", "containerd"], "are those of containerd, and the network's", async () => {
    await using ours = await startLighter();
    await using theirs = await startContainerd();
    const [our, their] = await Promise.all(
      [ours, theirs].map(async (daemon) => {
        await importBusybox(daemon);
        return await figuresOf(daemon);
      }),
    );
    const [ourPaths, theirPaths] = [new Set(pathsIn(our)), new Set(pathsIn(their))];
    const steady = (paths: ReadonlySet<string>): string[] => [...paths].filter((each) => !byChance.test(each));
    const more = steady(ourPaths.difference(theirPaths)).filter((each) => !each.startsWith("network[]"));
    const missing = steady(theirPaths.difference(ourPaths));
    expect({ missing, more }).toEqual({ missing: [], more: [] });
    for (const at of settled) expect([at, valueAt(our, at)]).toEqual([at, valueAt(their, at)]);
    expect(ourPaths.has("network[].name")).toBe(true);
  });
});

describe("lighter stats", () => {
  const shared = sharedDaemon();
  const lighter = async (daemon: Daemon, ...args: string[]): Promise<string> => {
    const data = path.join(daemon.workspace.folder, "data");
    const env = { CONTAINERD_ADDRESS: daemon.address, CONTAINERD_NAMESPACE: daemon.namespace, LIGHTER_DATA: data };
    const { code, stdout, stderr } = await run([program, ...args], { env });
    if (code !== 0) throw new Error(`lighter ${args.join(" ")}: ${stderr}`);
    return stdout;
  };

  shared.test("shows what went over the network and to disks", async (daemon) => {
    const id = shared.newId();
    await daemon.ctrOk(["run", "-d", "--null-io", ...daemon.runtimeFlags, busyboxImage, id, "sleep", "1000"]);
    const table = await lighter(daemon, "stats", "--no-stream", id);
    expect(table).toMatch(/CONTAINER ID +CPU +MEMORY +PIDS +NET I\/O +BLOCK I\/O\n/);
    expect(table).toMatch(new RegExp(`${id} .* 1 +0 B / 0 B +[0-9.]+ .*B / [0-9.]+ .*B\n`));
    const [line] = (await daemon.ctrOk(["tasks", "ls"])).split("\n").filter((text) => text.startsWith(`${id} `));
    const pid = line?.split(/\s+/)[1] ?? "";
    // Two ends of a cable in the container's network, of which one sends to the other's unknown neighbour.
    const inside = ["nsenter", "-t", pid, "-n", "busybox"];
    for (const words of [
      ["ip", "link", "add", "a0", "type", "veth", "peer", "name", "veth0"],
      ["ip", "link", "set", "a0", "up"],
      ["ip", "link", "set", "veth0", "up"],
      ["ip", "addr", "add", "10.77.0.1/24", "dev", "a0"],
      ["arping", "-c", "3", "-w", "3", "-I", "a0", "10.77.0.9"],
    ]) {
      await run([...inside, ...words]);
    }
    const [row] = JSON.parse(await lighter(daemon, "stats", "--no-stream", "--json", id));
    expect(row).toMatchObject({ id, pids: 1 });
    expect(row.receivedBytes).toBeGreaterThan(50);
    expect(row.sentBytes).toBeGreaterThan(50);
    await daemon.ctrOk(["tasks", "rm", "-f", id]);
    await daemon.ctrOk(["containers", "rm", id]);
  });
});
