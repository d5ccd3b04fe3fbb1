import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { Sandbox } from "../../src/gen/containerd/runtime/sandbox/v1/sandbox_pb.ts";
import { failureText } from "../../src/lib/fault-testing.ts";
import { canRun, eventually, HostFixture, runtimes } from "./support.ts";

describe.skipIf(!canRun).each([...runtimes])("a sandbox of the shim host on %s", (runtime) => {
  let h: HostFixture;
  beforeAll(async () => {
    h = await HostFixture.start();
  });
  afterAll(() => h[Symbol.asyncDispose]());

  const api = () => h.connection!.client(Sandbox, { namespace: h.namespace });

  async function make(sandboxId: string, args: readonly string[] = ["sleep", "100"]): Promise<void> {
    const { bundle, rootfs } = h.bundle(sandboxId, { args });
    await api().createSandbox({ sandboxId, bundlePath: bundle, rootfs, options: h.options(runtime) });
  }

  test("with a spec it is a process, which is no task", async () => {
    await make("one");
    expect((await api().sandboxStatus({ sandboxId: "one" })).state).toBe("SANDBOX_NOTREADY");
    const { pid, createdAt } = await api().startSandbox({ sandboxId: "one" });
    expect(pid).toBeGreaterThan(0);
    expect(await api().sandboxStatus({ sandboxId: "one", verbose: true })).toMatchObject({
      sandboxId: "one",
      pid,
      state: "SANDBOX_READY",
      createdAt,
    });
    expect((await h.host.list({})).tasks).toEqual([]);
    expect((await api().sandboxMetrics({ sandboxId: "one" })).metrics?.data?.typeUrl).toMatch(/Metrics$/);
    expect((await api().platform({ sandboxId: "one" })).platform?.os).toBe("linux");
    await api().pingSandbox({ sandboxId: "one" });

    const waiting = api().waitSandbox({ sandboxId: "one" });
    // sleep is init of its pid namespace and takes no SIGTERM.
    await api().stopSandbox({ sandboxId: "one", timeoutSecs: 0 });
    const { exitStatus, exitedAt } = await waiting;
    expect([exitStatus, Math.abs(timestampMs(exitedAt!) - Date.now()) < 60_000]).toEqual([137, true]);
    await api().stopSandbox({ sandboxId: "one" });
    expect((await api().sandboxStatus({ sandboxId: "one" })).state).toBe("SANDBOX_NOTREADY");
    await api().shutdownSandbox({ sandboxId: "one" });
    expect(await failureText(() => api().pingSandbox({ sandboxId: "one" }))).toBe('notFound: sandbox "one": not found');
  });

  test("is asked to end before it is made to", async () => {
    await make("polite", ["sh", "-c", "trap 'exit 7' TERM; touch /tmp/ready; while :; do sleep 0.02; done"]);
    await api().startSandbox({ sandboxId: "polite" });
    await eventually(() => existsSync(join(h.rootfs, "tmp/ready")));
    await api().stopSandbox({ sandboxId: "polite", timeoutSecs: 10 });
    expect((await api().waitSandbox({ sandboxId: "polite" })).exitStatus).toBe(7);
    await api().shutdownSandbox({ sandboxId: "polite" });
  });

  test("without one it is a name", async () => {
    const group = { sandboxId: "group", bundlePath: h.bundles };
    await api().createSandbox(group);
    expect(await failureText(() => api().createSandbox(group))).toBe('alreadyExists: sandbox "group": already exists');
    expect((await api().startSandbox({ sandboxId: "group" })).pid).toBe(0);
    expect(await failureText(() => api().startSandbox({ sandboxId: "group" }))).toBe(
      'failedPrecondition: sandbox "group" is running: failed precondition',
    );
    const waiting = api().waitSandbox({ sandboxId: "group" });
    await api().stopSandbox({ sandboxId: "group" });
    expect((await waiting).exitStatus).toBe(0);
    await api().shutdownSandbox({ sandboxId: "group" });
  });

  test("one that can't be made leaves nothing", async () => {
    expect(await failureText(() => make("broken", ["/no/such/program"]))).toMatch(/no such file or directory/i);
    expect(await failureText(() => api().pingSandbox({ sandboxId: "broken" }))).toMatch(/^notFound/);
    expect(await failureText(() => api().createSandbox({ sandboxId: "../x", bundlePath: "/" }))).toMatch(
      /^invalidArgument: identifier "..\/x" must match/,
    );
    expect(await failureText(() => api().createSandbox({ sandboxId: "x", bundlePath: "y" }))).toMatch(
      /^invalidArgument: bundle "y" is not an absolute path/,
    );
  });

  test("outlives its host", async () => {
    await make("kept");
    const { pid } = await api().startSandbox({ sandboxId: "kept" });
    await api().createSandbox({ sandboxId: "name", bundlePath: h.bundles });
    await h.killHost();
    await h.startHost();
    expect(await api().sandboxStatus({ sandboxId: "kept" })).toMatchObject({ pid, state: "SANDBOX_READY" });
    expect((await h.host.list({})).tasks).toEqual([]);
    await api().stopSandbox({ sandboxId: "kept" });
    await h.killHost();
    await h.startHost();
    expect((await api().waitSandbox({ sandboxId: "kept" })).exitStatus).toBe(137);
    for (const sandboxId of ["kept", "name"]) await api().shutdownSandbox({ sandboxId });
  });
});
