import { describe, expect } from "bun:test";
import fs from "node:fs/promises";
import path from "node:path";
import { figuresV1 } from "../../src/daemon/metrics/cgroup-v1.ts";
import { figuresV2 } from "../../src/daemon/metrics/cgroup-v2.ts";
import { type PageMetric, readPage } from "../support/exposition.ts";
import {
  busyboxImage,
  createWorkspace,
  type Daemon,
  daemonNeeds,
  findProcesses,
  importBusybox,
  startContainerd,
  startLighter,
  testNeeding,
  waitFor,
} from "../support/index.ts";

type Page = ReadonlyMap<string, PageMetric>;

const top = path.join(import.meta.dir, "../..");

async function pageAt(place: string | { readonly unix: string }): Promise<Page> {
  const response =
    typeof place === "string"
      ? await fetch(`http://${place}/v1/metrics`)
      : await fetch("http://metrics/v1/metrics", { unix: place.unix });
  expect(response.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
  return readPage(await response.text());
}

/** Where a daemon that was told to take any port has its page, by its log. */
async function addressIn(daemon: Daemon): Promise<string> {
  return waitFor("the address of the metrics", async () => {
    return /msg="serving metrics".* address="?([^\s"]+)/.exec(await daemon.logs())?.[1];
  });
}

/** The containers that have figures on a page. */
function containersOn(page: Page): readonly string[] {
  const samples = [...page].flatMap(([name, { samples: all }]) => (name.startsWith("container_") ? all : []));
  return [...new Set(samples.map(({ labels }) => labels.get("container_id") ?? ""))].toSorted();
}

function runDetached(daemon: Daemon, id: string, ...command: readonly string[]): Promise<string> {
  const what = [...daemon.runtimeFlags, busyboxImage, id, ...command];
  return daemon.ctrOk(["run", "-d", "--null-io", ...what]);
}

function sumOf(page: Page, name: string, labels: Readonly<Record<string, string>> = {}): number {
  const found = page.get(name)?.samples.filter((sample) => {
    return Object.entries(labels).every(([key, value]) => sample.labels.get(key) === value);
  });
  return (found ?? []).reduce((sum, { value }) => sum + value, 0);
}

describe("the page of metrics", () => {
  for (const runtime of ["runc", "crun"] as const) {
    testNeeding(
      [...daemonNeeds(), runtime, "ours"],
      `tells of ${runtime}'s containers while they run, and of the daemon`,
      async () => {
        await using workspace = await createWorkspace();
        const unix = path.join(workspace.folder, "metrics.sock");
        await using daemon = await startLighter({
          runtime,
          config: `[metrics]\naddress = "${unix}"\ngrpc_histogram = true`,
        });
        expect((await fs.stat(unix)).mode & 0o777).toBe(0o660);
        await importBusybox(daemon);
        await runDetached(daemon, "stays", "sleep", "1000");
        await runDetached(daemon, "leaves", "sleep", "1000");
        const page = await pageAt({ unix });
        expect(containersOn(page)).toEqual(["leaves", "stays"]);
        const [pids] = page.get("container_pids_current")?.samples ?? [];
        expect(Object.fromEntries(pids?.labels ?? [])).toEqual({
          container_id: expect.any(String),
          namespace: daemon.namespace,
          runtime: "io.containerd.runc.v2",
        });
        const known = new Set([...figuresV1, ...figuresV2].map(({ name }) => name));
        const strange = [...page.keys()].filter((name) => name.startsWith("container_") && !known.has(name));
        expect(strange).toEqual([]);
        expect(sumOf(page, "grpc_server_handled_total", { grpc_method: "Start", grpc_code: "OK" })).toBe(2);
        expect(sumOf(page, "lighter_runtime_call_seconds", { call: "create" })).toBeGreaterThan(2);
        expect(sumOf(page, "lighter_shim_host_resident_memory_bytes")).toBeGreaterThan(1e6);
        const spawned = page.get("lighter_shim_host_spawn_seconds")?.samples.at(-1);
        expect(spawned?.value).toBeGreaterThanOrEqual(2);
        expect(sumOf(page, "process_resident_memory_bytes")).toBeGreaterThan(1e6);
        expect(sumOf(page, "process_start_time_seconds")).toBeLessThan(Date.now() / 1000 + 2);
        expect(sumOf(page, "lighter_tasks")).toBe(2);
        await waitFor(
          "the loop's lag",
          async () => sumOf(await pageAt({ unix }), "lighter_event_loop_lag_seconds") > 0,
        );
        // A host that is silent holds the page up for a moment, and not for long.
        const host = (await findProcesses(daemon.workspace.token)).find((line) => / host --socket /.test(line));
        process.kill(Number.parseInt(host ?? "", 10), "SIGSTOP");
        try {
          const silent = await pageAt({ unix });
          expect(containersOn(silent)).toEqual([]);
          expect(sumOf(silent, "lighter_tasks")).toBe(2);
        } finally {
          process.kill(Number.parseInt(host ?? "", 10), "SIGCONT");
        }
        await waitFor("the containers again", async () => {
          const again = await pageAt({ unix });
          return containersOn(again).length === 2 && sumOf(again, "lighter_containers_not_measured_total") >= 2;
        });
        // It ends, and is not deleted.
        await daemon.ctrOk(["tasks", "kill", "--signal", "KILL", "leaves"]);
        await waitFor("its exit", async () => containersOn(await pageAt({ unix })).join() === "stays");
        // A page is there after a restart, with what still runs alone.
        await daemon.kill();
        await daemon.start();
        await waitFor("the one that runs", async () => containersOn(await pageAt({ unix })).join() === "stays");
        for (const id of ["leaves", "stays"]) await daemon.ctrOk(["tasks", "rm", "-f", id]);
        await waitFor("nothing", async () => containersOn(await pageAt({ unix })).length === 0);
        for (const id of ["leaves", "stays"]) await daemon.ctrOk(["containers", "rm", id]);
      },
    );
  }

  testNeeding(
    [...daemonNeeds(), "ours", "containerd"],
    "has containerd's metrics, with its labels and types",
    async () => {
      const config = '[metrics]\naddress = ":0"\ngrpc_histogram = true';
      await using ours = await startLighter({ config, logLevel: "info" });
      const port = freePort();
      await using theirs = await startContainerd({ config: config.replace(":0", `127.0.0.1:${port}`) });
      const pages: Page[] = [];
      for (const [daemon, place] of [
        // On every address, as containerd takes it.
        [ours, `127.0.0.1:${(await addressIn(ours)).split(":").at(-1)}`],
        [theirs, `127.0.0.1:${port}`],
      ] as const) {
        await importBusybox(daemon);
        await runDetached(daemon, "c1", "sleep", "1000");
        pages.push(await pageAt(place));
        await daemon.ctrOk(["tasks", "rm", "-f", "c1"]);
        await daemon.ctrOk(["containers", "rm", "c1"]);
      }
      const [our, their] = pages.map(shapesOf);
      const told = await documented();
      const lacking = [...(their ?? [])].filter(([name, shape]) => our?.get(name) !== shape && told.get(name) !== "no");
      expect(lacking).toEqual([]);
      // What is said not to be there is not; each of containerd's has its row.
      expect([...(their?.keys() ?? [])].filter((name) => !told.has(name))).toEqual([]);
      expect([...told].filter(([name, here]) => here === "no" && our?.has(name)).map(([name]) => name)).toEqual([]);
      const ofCgroups = new Set([...figuresV1, ...figuresV2].map(({ name }) => name));
      const absent = [...told].filter(([name, here]) => here !== "no" && !our?.has(name) && !ofCgroups.has(name));
      expect(absent.map(([name]) => name).filter((name) => !seldom.has(name))).toEqual([]);
      // Ours are told of, too, and none that there is not.
      expect([...(our?.keys() ?? []), ...ofCgroups].filter((name) => !told.has(name))).toEqual([]);
    },
  );

  testNeeding([...daemonNeeds(), "ours"], "is what the dashboard asks for", async () => {
    const dashboard = JSON.parse(await fs.readFile(path.join(top, "docs/grafana-lighter.json"), "utf8")) as unknown;
    const queries = expressionsIn(dashboard);
    expect(queries.length).toBeGreaterThan(10);
    const told = await documented();
    const parts = /_(?:bucket|sum|count)$/;
    for (const query of queries) {
      const names =
        query.match(/\b(?:container|containerd|grpc|lighter|process|promhttp)_[a-z0-9_]+\b(?!=|~|!)/g) ?? [];
      const metrics = names.filter(
        (name) => !["container_id", "grpc_code", "grpc_method", "grpc_service"].includes(name),
      );
      expect([query, metrics.length > 0]).toEqual([query, true]);
      const unknown = metrics.filter((name) => !told.has(name) && !told.has(name.replace(parts, "")));
      expect([query, unknown]).toEqual([query, []]);
    }
  });
});

/** Metrics that are there once something has happened, or where a controller of cgroups is. */
const seldom: ReadonlySet<string> = new Set(["lighter_runtime_call_seconds", "containerd_gc_collections_total"]);

/** Each metric's type and the names of its labels. */
function shapesOf(page: Page): ReadonlyMap<string, string> {
  return new Map(
    [...page].map(([name, { type, samples }]) => {
      const labels = new Set(samples.flatMap((sample) => [...sample.labels.keys()]));
      return [name, `${type} ${[...labels].toSorted().join()}`];
    }),
  );
}

/** The metrics in docs/metrics.md, and whether they are here. */
async function documented(): Promise<ReadonlyMap<string, string>> {
  const text = await fs.readFile(path.join(top, "docs/metrics.md"), "utf8");
  const rows = text.matchAll(/^\| `([a-z0-9_]+)` \| ([a-z0-9, ]+) \|/gm);
  return new Map([...rows].map(([, name = "", here = ""]) => [name, here.trim()]));
}

function expressionsIn(value: unknown): string[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, each]) => {
    return key === "expr" && typeof each === "string" ? [each] : expressionsIn(each);
  });
}

/** A port that nobody has just now; containerd does not say which one it got. */
function freePort(): number {
  const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => {} } });
  const { port } = listener;
  listener.stop(true);
  return port;
}
