import { describe, expect, test } from "bun:test";
import { blockDevices } from "./block-devices.ts";
import { pageSizeOf } from "./huge-pages.ts";
import { parseCgroup, readCgroupMounts } from "./locate.ts";
import { metricsV1 } from "./metrics-v1.ts";
import { metricsV2 } from "./metrics-v2.ts";
import { parseNetDev } from "./network.ts";

const files =
  (table: Readonly<Record<string, string>>) =>
  (...name: string[]) =>
    table[name.at(-1) ?? ""];

const netDev = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     168       2    0    0    0     0          0         0      168       2    0    0    0     0       0          0
eth0.1:    1000      10    1    2    0     0          0         0     2000      20    3    4    0     0       0          0
`;
const figures = [
  { name: "lo", rxBytes: 168n, rxPackets: 2n, txBytes: 168n, txPackets: 2n },
  {
    name: "eth0.1",
    rxBytes: 1000n,
    rxPackets: 10n,
    rxErrors: 1n,
    rxDropped: 2n,
    txBytes: 2000n,
    txErrors: 3n,
    txDropped: 4n,
  },
];
const surroundings = {
  network: parseNetDev(netDev),
  devices: blockDevices("major minor  #blocks  name\n\n 254        0  268435456 vda\n 254        1     524288 vda1\n"),
  pageSizes: ["hugepages-2048kB", "power"].flatMap(pageSizeOf),
};

describe("pageSizeOf", () => {
  test("names sizes as cgroup files do", () => {
    expect(["hugepages-64kB", "hugepages-1048576kB", "hugepages-0kB"].flatMap(pageSizeOf)).toEqual(["64KB", "1GB"]);
  });
});

describe("metricsV1", () => {
  test("reads recorded files", () => {
    const metrics = metricsV1(
      files({
        "pids.current": "3\n",
        "pids.max": "max\n",
        "cpuacct.usage": "123456\n",
        "cpuacct.usage_percpu": "100 23356 \n",
        "cpuacct.stat": "user 2\nsystem 1\n",
        "cpu.stat": "nr_periods 4\nnr_throttled 5\nthrottled_time 6\n",
        "memory.stat": "cache 10\nrss 20\npgpgin 30\nhierarchical_memory_limit 40\ntotal_pgmajfault 50\nshmem 9\n",
        "memory.usage_in_bytes": "4096\n",
        "memory.limit_in_bytes": "9223372036854771712\n",
        "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
        "blkio.throttle.io_service_bytes_recursive": "254:0 Read 512\n254:0 Write 0\nTotal 512\n",
        "hugetlb.2MB.usage_in_bytes": "2097152\n",
        "hugetlb.2MB.max_usage_in_bytes": "4194304\n",
        "hugetlb.2MB.failcnt": "3\n",
        "rdma.current": "mlx4_0 hca_handle=1 hca_object=2\nocrdma1 hca_handle=0 hca_object=0\n",
        "rdma.max": "mlx4_0 hca_handle=2 hca_object=max\nocrdma1 hca_handle=3 hca_object=max\n",
      }),
      surroundings,
    );
    expect(metrics.pids).toMatchObject({ current: 3n, limit: 0n });
    expect(metrics.cpu?.usage).toMatchObject({
      total: 123456n,
      user: 20_000_000n,
      kernel: 10_000_000n,
      perCpu: [100n, 23356n],
    });
    expect(metrics.cpu?.throttling).toMatchObject({ periods: 4n, throttledPeriods: 5n, throttledTime: 6n });
    expect(metrics.memory).toMatchObject({
      cache: 10n,
      rss: 20n,
      pgPgIn: 30n,
      hierarchicalMemoryLimit: 40n,
      totalPgMajFault: 50n,
    });
    expect(metrics.memory?.usage).toMatchObject({ usage: 4096n, limit: 9223372036854771712n });
    expect(metrics.memoryOomControl).toMatchObject({ oomKill: 2n });
    expect(metrics.blkio?.ioServiceBytesRecursive).toMatchObject([
      { op: "Read", device: "/dev/vda", major: 254n, minor: 0n, value: 512n },
      { op: "Write", value: 0n },
    ]);
    expect(metrics.hugetlb).toMatchObject([{ usage: 2097152n, max: 4194304n, failcnt: 3n, pagesize: "2MB" }]);
    expect(metrics.rdma?.current[0]).toMatchObject({ device: "mlx4_0", hcaHandles: 1, hcaObjects: 2 });
    expect(metrics.rdma?.limit[1]).toMatchObject({ device: "ocrdma1", hcaHandles: 3, hcaObjects: 4294967295 });
    expect(metrics.network).toMatchObject(figures);
  });

  test("reads what a kernel with CFQ has, before what throttling counts", () => {
    const { blkio } = metricsV1(
      files({
        "blkio.io_serviced_recursive": "8:16 Read 7\n8:16 Total 7\nTotal 7\n",
        "blkio.sectors_recursive": "8:16 42\n",
        "blkio.throttle.io_serviced_recursive": "8:16 Read 99\n",
        "blkio.throttle.io_service_bytes": "8:16 Read 512\n",
      }),
      surroundings,
    );
    expect(blkio?.ioServicedRecursive.map(({ op, value }) => [op, value])).toEqual([
      ["Read", 7n],
      ["Total", 7n],
    ]);
    expect(blkio?.sectorsRecursive).toMatchObject([{ op: "", device: "", value: 42n }]);
    expect(blkio?.ioServiceBytesRecursive).toMatchObject([{ value: 512n }]);
  });

  test("leaves out what the kernel does not offer", () => {
    const metrics = metricsV1(() => undefined, { network: [], devices: new Map(), pageSizes: ["2MB"] });
    expect(metrics).toMatchObject({ hugetlb: [], network: [] });
    expect(metrics.rdma).toBeUndefined();
  });
});

describe("metricsV2", () => {
  test("reads recorded files", () => {
    const metrics = metricsV2(
      files({
        "pids.current": "3\n",
        "pids.max": "100\n",
        "cpu.stat": "usage_usec 10\nuser_usec 7\nsystem_usec 3\nnr_periods 1\n",
        "memory.stat":
          "workingset_refault_anon 4\nworkingset_refault_file 8\nworkingset_activate_file 3\nanon 10\nfile 20\nkernel_stack 30\npgfault 40\nunknown_field 9\n",
        "memory.current": "4096\n",
        "memory.max": "max\n",
        "memory.events": "low 0\nhigh 1\nmax 2\noom 3\noom_kill 4\n",
        "io.stat": "254:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n",
        "cpu.pressure":
          "some avg10=1.50 avg60=0.25 avg300=0.10 total=12345\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n",
        "memory.pressure": "some avg10=0.00 avg60=0.00 avg300=0.00 total=8\n",
        "io.pressure": "some avg10=0.00 avg60=0.00 avg300=0.00 total=9\n",
        "hugetlb.2MB.current": "2097152\n",
        "hugetlb.2MB.max": "max\n",
        "hugetlb.2MB.events": "max 5\n",
        "rdma.current": "mlx4_0 hca_handle=1 hca_object=2\n",
        "rdma.max": "mlx4_0 hca_handle=max hca_object=9\n",
      }),
      surroundings,
    );
    expect(metrics.pids).toMatchObject({ current: 3n, limit: 100n });
    expect(metrics.cpu).toMatchObject({ usageUsec: 10n, userUsec: 7n, systemUsec: 3n, nrPeriods: 1n });
    expect(metrics.memory).toMatchObject({
      anon: 10n,
      file: 20n,
      kernelStack: 30n,
      pgfault: 40n,
      usage: 4096n,
      usageLimit: 2n ** 64n - 1n,
    });
    expect(metrics.memoryEvents).toMatchObject({ high: 1n, max: 2n, oom: 3n, oomKill: 4n });
    expect(metrics.io?.usage[0]).toMatchObject({ major: 254n, rbytes: 1n, wios: 4n });
    expect(metrics.memory).toMatchObject({ workingsetRefault: 12n, workingsetActivate: 3n });
    expect(metrics.cpu?.psi?.some).toMatchObject({ avg10: 1.5, avg60: 0.25, avg300: 0.1, total: 12345n });
    expect(metrics.cpu?.psi?.full?.total).toBe(7n);
    expect(metrics.memory?.psi).toMatchObject({ some: { total: 8n } });
    expect(metrics.io?.psi?.some?.total).toBe(9n);
    expect(metrics.hugetlb).toMatchObject([{ current: 2097152n, max: 2n ** 64n - 1n, pagesize: "2MB", failcnt: 5n }]);
    expect(metrics.rdma?.limit).toMatchObject([{ device: "mlx4_0", hcaHandles: 4294967295, hcaObjects: 9 }]);
    expect(metrics.network).toMatchObject(figures);
  });

  test("tells a cgroup without controllers from one without use", () => {
    const metrics = metricsV2(files({ "pids.current": "1\n", "pids.max": "max\n" }), {
      network: [],
      pageSizes: ["2MB"],
    });
    expect(metrics.pids).toMatchObject({ current: 1n, limit: 2n ** 64n - 1n });
    expect(metrics).toMatchObject({ hugetlb: [], network: [] });
    expect(metrics.memoryEvents).toBeUndefined();
    expect(metrics.cpu?.psi).toBeUndefined();
  });
});

describe("parseCgroup", () => {
  const hybrid = readCgroupMounts(
    "31 30 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n34 30 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n40 30 0:37 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
  );
  const unified = readCgroupMounts("30 22 0:27 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n");

  test("v1 wins in hybrid mode and root cgroups are left out", () => {
    expect(parseCgroup("4:memory:/a/b\n2:cpu,cpuacct:/a/b\n0::/a/b\n", hybrid)).toEqual({
      version: 1,
      paths: {
        memory: "/sys/fs/cgroup/memory/a/b",
        cpu: "/sys/fs/cgroup/cpu,cpuacct/a/b",
        cpuacct: "/sys/fs/cgroup/cpu,cpuacct/a/b",
      },
    });
    expect(parseCgroup("4:memory:/\n0::/\n", hybrid)).toBeUndefined();
  });

  test("v2 where nothing else is mounted", () => {
    expect(parseCgroup("0::/a/b\n", unified)).toEqual({ version: 2, path: "/sys/fs/cgroup/a/b" });
    expect(parseCgroup("0::/\n", unified)).toBeUndefined();
  });
});
