import { describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import path from "node:path";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { SandboxExitSchema } from "../../src/gen/containerd/events/sandbox_pb.ts";
import { Events } from "../../src/gen/containerd/services/events/v1/events_pb.ts";
import { Controller, Store } from "../../src/gen/containerd/services/sandbox/v1/sandbox_pb.ts";
import { Tasks } from "../../src/gen/containerd/services/tasks/v1/tasks_pb.ts";
import type { Envelope } from "../../src/gen/containerd/types/event_pb.ts";
import type { SandboxSchema } from "../../src/gen/containerd/types/sandbox_pb.ts";
import { Host } from "../../src/gen/lighter/shim/v1/host_pb.ts";
import { failureText } from "../../src/lib/fault-testing.ts";
import { anyOfJson, anyTo, ociTypeUrls } from "../../src/wire/any.ts";
import type { ClientConnection } from "../../src/wire/service.ts";
import { connectTtrpc } from "../../src/wire/ttrpc/index.ts";
import { connectLine, type Daemon, missing, startLighter, waitFor, writeBusyboxRootfs } from "../support/index.ts";

const lacks = missing(["lighterd", "runc", "root", "busybox"]);
const sandboxer = "shim";
const namespace = "boxes";
const runtime = { name: "io.containerd.runc.v2" };

/** What a pod's own process would be: it holds namespaces and sleeps. */
const spec = anyOfJson(ociTypeUrls.spec, {
  ociVersion: "1.0.2",
  process: { user: { uid: 0, gid: 0 }, args: ["/bin/sh", "-c", "sleep 1000"], env: ["PATH=/bin"], cwd: "/" },
  root: { path: "rootfs" },
  mounts: [{ destination: "/proc", type: "proc", source: "proc" }],
  linux: { namespaces: ["pid", "mount", "ipc", "uts", "network"].map((type) => ({ type })) },
});

interface Fixture extends AsyncDisposable {
  readonly daemon: Daemon;
  readonly rootfs: string;
  readonly connection: ClientConnection;
  reconnect(): Promise<void>;
  readonly controller: ReturnType<typeof controllerOf>;
  readonly store: ReturnType<typeof storeOf>;
}

const controllerOf = (connection: ClientConnection) => connection.client(Controller, { namespace });
const storeOf = (connection: ClientConnection) => connection.client(Store, { namespace });

async function fixture(): Promise<Fixture> {
  const daemon = await startLighter();
  const rootfs = await writeBusyboxRootfs(path.join(daemon.workspace.folder, "rootfs"));
  const line = await connectLine(daemon);
  return {
    daemon,
    rootfs,
    get connection() {
      return line.connection;
    },
    get controller() {
      return controllerOf(line.connection);
    },
    get store() {
      return storeOf(line.connection);
    },
    reconnect: () => line.reconnect(),
    [Symbol.asyncDispose]: async () => {
      await line[Symbol.asyncDispose]();
      await daemon[Symbol.asyncDispose]();
    },
  };
}

/** Takes what is published from now on. */
function watch(connection: ClientConnection): Disposable & { readonly seen: readonly Envelope[] } {
  const ending = new AbortController();
  const seen: Envelope[] = [];
  const take = async (): Promise<void> => {
    const filters = ['topic~="^/sandboxes/"'];
    try {
      for await (const event of connection.client(Events).subscribe({ filters }, { signal: ending.signal }))
        seen.push(event);
    } catch {
      // It ends with the signal or with the daemon.
    }
  };
  void take();
  return { seen, [Symbol.dispose]: () => ending.abort() };
}

const sandbox = (sandboxId: string, more: object = {}): MessageInitShape<typeof SandboxSchema> => ({
  sandboxId,
  runtime,
  sandboxer,
  ...more,
});

describe.skipIf(lacks !== undefined)(`sandboxes${lacks === undefined ? "" : ` (${lacks})`}`, () => {
  test("a sandbox lives, tells of itself, and outlives daemon and host", async () => {
    await using at = await fixture();
    using events = watch(at.connection);
    const sandboxId = "pod";
    const record = await at.store.create({ sandbox: sandbox(sandboxId, { spec, labels: { tier: "web" } }) });
    const rootfs = [{ type: "bind", source: at.rootfs, options: ["rbind"] }];
    const ask = { sandboxId, sandboxer };
    expect(await at.controller.create({ ...ask, sandbox: record.sandbox!, rootfs })).toMatchObject({ sandboxId });
    expect(await failureText(() => at.controller.create({ ...ask, sandbox: record.sandbox!, rootfs }))).toBe(
      "alreadyExists: sandbox pod already running: already exists",
    );
    const { pid } = await at.controller.start(ask);
    expect(pid).toBeGreaterThan(0);
    expect((await at.controller.platform(ask)).platform?.os).toBe("linux");
    expect((await at.controller.metrics(ask)).metrics?.id).toBe(sandboxId);
    expect((await at.connection.client(Tasks, { namespace }).list({})).tasks).toEqual([]);
    expect((await at.store.list({ filters: ["labels.tier==web"] })).list).toEqual([record.sandbox!]);

    const { pid: host } = await hostOf(at.daemon);
    await at.daemon.kill();
    process.kill(host, "SIGKILL");
    await at.daemon.start();
    await at.reconnect();
    using later = watch(at.connection);
    expect(await at.controller.status(ask)).toMatchObject({ sandboxId, pid, state: "SANDBOX_READY" });
    expect((await at.connection.client(Tasks, { namespace }).list({})).tasks).toEqual([]);
    expect((await at.store.get({ sandboxId })).sandbox).toEqual(record.sandbox!);

    const waiting = at.controller.wait(ask);
    await at.controller.stop({ ...ask, timeoutSecs: 0 });
    expect((await waiting).exitStatus).toBe(137);
    await at.controller.shutdown(ask);
    await at.store.delete({ sandboxId });
    // Renamed at once, removed a moment later.
    const bundles = path.join(at.daemon.state, "io.containerd.sandbox.controller.v1.shim", namespace);
    await waitFor("the bundle to go", () => readdirSync(bundles).length === 0);
    await waitFor("the exit's event", () => later.seen.length > 0);
    expect(events.seen.map(({ topic }) => topic)).toEqual(["/sandboxes/create", "/sandboxes/start"]);
    expect(later.seen.map(({ topic, namespace: of }) => [topic, of])).toEqual([["/sandboxes/exit", namespace]]);
    const exit = anyTo(later.seen[0]!.event!, SandboxExitSchema);
    expect([exit.sandboxId, exit.exitStatus]).toEqual([sandboxId, 137]);
  }, 60_000);

  test("bad calls get containerd's answers", async () => {
    await using at = await fixture();
    const c = at.controller;
    const none = { sandboxId: "none", sandboxer };
    const answers = await Promise.all(
      [
        () => c.create({ sandboxId: "a" }),
        () => c.create({ sandboxId: "a", sandboxer: "podsandbox" }),
        () => c.start({ sandboxId: "a", sandboxer: "x" }),
        () => c.start(none),
        () => c.platform(none),
        () => c.wait(none),
        () => c.metrics(none),
        () => c.shutdown(none),
        () => c.update(none),
        () => c.create({ sandboxId: "a", sandboxer }),
        () => c.create({ sandboxId: "a/b", sandboxer }),
        () => c.create({ sandboxId: "a", sandboxer, sandbox: sandbox("a", { runtime: { name: "a.b" } }) }),
        () => at.connection.client(Controller).status(none),
      ].map(failureText),
    );
    expect(answers).toEqual([
      "invalidArgument: invalid argument: sandbox controller name can not be empty",
      "notFound: not found: failed to get sandbox controller by podsandbox",
      'notFound: failed to get sandbox controller for "x": not found: failed to get sandbox controller by x',
      'unknown: failed to start sandbox "none": unable to find sandbox "none"',
      "notFound: not found",
      "notFound: not found",
      "notFound: not found",
      "notFound: not found",
      "unknown: sandbox can not be nil",
      "unknown: failed to start new shim for sandbox a: failed to resolve runtime path: no runtime name",
      expect.stringMatching(/^invalidArgument: invalid task id a\/b: identifier "a\/b" must match/) as string,
      expect.stringMatching(
        /^unknown: failed to start new shim for sandbox a: failed to resolve runtime path: runtime "a.b" binary not installed/,
      ) as string,
      "failedPrecondition: namespace is required: failed precondition",
    ]);
    await c.stop(none);
    await c.update({ ...none, sandbox: sandbox("none") });
    const gone = await c.status(none);
    expect(gone).toMatchObject({ sandboxId: "none", pid: 0, state: "", createdAt: { seconds: -62_135_596_800n } });
    expect([Math.abs(timestampMs(gone.exitedAt!) - Date.now()) < 60_000, gone.extra?.typeUrl]).toEqual([true, ""]);
  }, 60_000);

  test("one whose process can't be made, or started, leaves nothing", async () => {
    await using at = await fixture();
    const bad = anyOfJson(ociTypeUrls.spec, { ociVersion: "1.0.2", process: { args: ["/none"], cwd: "/" }, root: {} });
    const ask = { sandboxId: "bad", sandboxer };
    const failed = await failureText(() => at.controller.create({ ...ask, sandbox: sandbox("bad", { spec: bad }) }));
    expect(failed).toStartWith("unknown: failed to create sandbox bad: ");
    expect((await at.controller.status(ask)).state).toBe("");
    await at.controller.create({ ...ask, sandbox: sandbox("bad") });
    await at.controller.start(ask);
    expect(await failureText(() => at.controller.start(ask))).toContain('sandbox "bad" is running');
    expect((await at.controller.status(ask)).state).toBe("SANDBOX_READY");
    await at.controller.shutdown(ask);
  }, 60_000);
});

async function hostOf(daemon: Daemon): Promise<{ readonly pid: number }> {
  await using connection = await connectTtrpc({ path: path.join(daemon.state, "shim", "host.sock") });
  return await connection.client(Host).info({});
}
