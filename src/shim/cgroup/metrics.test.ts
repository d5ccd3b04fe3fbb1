import { describe, expect, test } from "bun:test";
import { parseCgroup, readCgroupMounts } from "./locate.ts";
import { metricsV1 } from "./metrics-v1.ts";
import { metricsV2 } from "./metrics-v2.ts";

const files =
  (table: Readonly<Record<string, string>>) =>
  (...name: string[]) =>
    table[name.at(-1) ?? ""];

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
      }),
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
    expect(metrics.blkio?.ioServiceBytesRecursive[0]).toMatchObject({ op: "Read", major: 254n, value: 512n });
  });
});

describe("metricsV2", () => {
  test("reads recorded files", () => {
    const metrics = metricsV2(
      files({
        "pids.current": "3\n",
        "pids.max": "100\n",
        "cpu.stat": "usage_usec 10\nuser_usec 7\nsystem_usec 3\nnr_periods 1\n",
        "memory.stat": "anon 10\nfile 20\nkernel_stack 30\npgfault 40\nunknown_field 9\n",
        "memory.current": "4096\n",
        "memory.max": "max\n",
        "memory.events": "low 0\nhigh 1\nmax 2\noom 3\noom_kill 4\n",
        "io.stat": "254:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n",
      }),
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
