import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { Status } from "../../src/gen/containerd/v1/types/task_pb.ts";
import { MetricsSchema } from "../../src/gen/io/containerd/cgroups/v1/metrics_pb.ts";
import { anyOfJson, anyTo, ociTypeUrls } from "../../src/wire/any.ts";
import { canRun, eventually, HostFixture, runtimes } from "./support.ts";

/** The tests look into cgroup v1's own files. */
const onV1 = readFileSync("/proc/self/mountinfo", "utf8").includes(" - cgroup cgroup ");
const mib = 1 << 20;

describe.skipIf(!canRun || !onV1).each([...runtimes])("resources of a task on %s", (runtime) => {
  let h: HostFixture;
  let count = 0;
  beforeAll(async () => {
    h = await HostFixture.start();
  });
  afterAll(() => h[Symbol.asyncDispose]());

  async function run(script: string, linux: Record<string, unknown> = {}): Promise<string> {
    const id = `c${count++}`;
    const bundle = h.bundle(id, { args: ["sh", "-c", script], linux });
    await h.tasks.create({ id, ...bundle, options: h.options(runtime) });
    await h.tasks.start({ id });
    return id;
  }
  /** Every task is deleted by its own test. */
  const made = (): number => count;
  async function end(id: string): Promise<void> {
    await h.tasks.kill({ id, signal: 9 }).catch(() => {});
    await h.tasks.wait({ id });
    await h.tasks.delete({ id });
  }
  const update = (id: string, resources: unknown): Promise<unknown> =>
    h.tasks.update({ id, resources: anyOfJson(ociTypeUrls.linuxResources, resources as never) });
  const read = (controller: string, id: string, file: string): string =>
    readFileSync(`/sys/fs/cgroup/${controller}/${h.namespace}/${id}/${file}`, "utf8").trim();
  const metricsOf = async (id: string) => {
    const { stats } = await h.tasks.stats({ id });
    if (stats === undefined) throw new Error("no figures");
    return anyTo(stats, MetricsSchema);
  };

  test("change field by field, and what is not named stays", async () => {
    const id = await run("sleep 1000", { resources: { memory: { limit: 64 * mib }, pids: { limit: 50 } } });
    await update(id, { cpu: { shares: 512 } });
    await update(id, { cpu: { quota: 30_000, period: 60_000 } });
    await update(id, { cpu: { cpus: "0", mems: "0" } });
    await update(id, { memory: { limit: 128 * mib, reservation: 32 * mib, swap: 256 * mib } });
    await update(id, { pids: { limit: 77 } });
    const found = {
      shares: read("cpu", id, "cpu.shares"),
      quota: read("cpu", id, "cpu.cfs_quota_us"),
      period: read("cpu", id, "cpu.cfs_period_us"),
      cpus: read("cpuset", id, "cpuset.cpus"),
      mems: read("cpuset", id, "cpuset.mems"),
      limit: Number(read("memory", id, "memory.limit_in_bytes")) / mib,
      reservation: Number(read("memory", id, "memory.soft_limit_in_bytes")) / mib,
      swap: Number(read("memory", id, "memory.memsw.limit_in_bytes")) / mib,
      pids: read("pids", id, "pids.max"),
    };
    expect(found).toEqual({
      shares: "512",
      quota: "30000",
      period: "60000",
      cpus: "0",
      mems: "0",
      limit: 128,
      reservation: 32,
      swap: 256,
      pids: "77",
    });
    const { memory, pids } = await metricsOf(id);
    expect(memory?.usage?.limit).toBe(BigInt(128 * mib));
    expect(pids?.limit).toBe(77n);
    await end(id);
  }, 30_000);

  test("a limit that cannot be is refused with the kernel's or the runtime's words, and the task goes on", async () => {
    const id = await run("sleep 1000", { resources: { memory: { limit: 64 * mib } } });
    const said = await update(id, { cpu: { cpus: "4000" } }).then(
      () => "none",
      (error: unknown) => String(error),
    );
    expect(said).toContain("OCI runtime update failed: ");
    expect((await h.tasks.state({ id })).status).toBe(Status.RUNNING);
    expect(read("memory", id, "memory.limit_in_bytes")).toBe(String(64 * mib));
    await end(id);
  }, 30_000);

  test("memory beyond the limit ends it with 137, told once; a child's end is told and is not the container's", async () => {
    const linux = { resources: { memory: { limit: 16 * mib } } };
    const id = await run("exec tail /dev/zero", linux);
    const parent = await run("tail /dev/zero; exit 5", linux);
    expect(await h.tasks.wait({ id })).toMatchObject({ exitStatus: 137 });
    expect(await h.tasks.wait({ id: parent })).toMatchObject({ exitStatus: 5 });
    await h.tasks.delete({ id });
    await h.tasks.delete({ id: parent });
    const told = await h.events((all) => all.filter(({ topic }) => topic === "/tasks/delete").length === made());
    const strokes = told
      .filter(({ topic }) => topic === "/tasks/oom")
      .map(({ event }) => Buffer.from(event?.value ?? []));
    expect(strokes.filter((event) => event.includes(id))).toHaveLength(1);
    expect(strokes.filter((event) => event.includes(parent))).toHaveLength(1);
  }, 30_000);

  test("tell what went through the interfaces of a network of its own", async () => {
    const id = await run("while :; do echo x | busybox nc -w 1 127.0.0.1 9; done");
    const loopback = async () => (await metricsOf(id)).network.find(({ name }) => name === "lo");
    await eventually(async () => ((await loopback())?.txPackets ?? 0n) > 2n);
    const { pid } = await h.tasks.state({ id });
    const line = /^\s*lo:\s*(.*)$/m.exec(readFileSync(`/proc/${pid}/net/dev`, "utf8"))?.[1]?.split(/\s+/);
    expect((await loopback())?.rxBytes).toBeGreaterThanOrEqual(BigInt(line?.[0] ?? 0));
    await end(id);
    const other = `c${count++}`;
    const namespaces = ["pid", "mount", "ipc", "uts"];
    const bundle = h.bundle(other, { args: ["sleep", "1000"], namespaces });
    await h.tasks.create({ id: other, ...bundle, options: h.options(runtime) });
    await h.tasks.start({ id: other });
    expect((await metricsOf(other)).network).toEqual([]);
    await end(other);
  }, 30_000);
});
