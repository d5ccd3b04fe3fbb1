import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { Tasks } from "../../gen/containerd/services/tasks/v1/tasks_pb.ts";
import { Status } from "../../gen/containerd/v1/types/task_pb.ts";
import { fault } from "../../lib/faults.ts";
import { silentLogger } from "../../lib/log.ts";
import type { Trace } from "../../lib/trace.ts";
import { connectGrpc, createGrpcServer } from "../../wire/grpc/index.ts";
import type { CallObserver } from "../../wire/observer.ts";
import type { ServiceClient } from "../../wire/service.ts";
import { createTasksService } from "./service.ts";
import { failure, TestDaemon, until } from "./test-daemon.ts";
import { FakeHost } from "./testing.ts";

interface Bench extends AsyncDisposable {
  readonly host: FakeHost;
  readonly daemon: TestDaemon;
  readonly tasks: ServiceClient<typeof Tasks>;
}

/** A daemon's tasks behind a real socket. */
async function bench(observer?: CallObserver): Promise<Bench> {
  await using stack = new AsyncDisposableStack();
  const host = stack.use(await FakeHost.create());
  const daemon = stack.use(await TestDaemon.start(host.launcher));
  const server = createGrpcServer({
    services: [createTasksService({ tasks: daemon.tasks, log: silentLogger })],
    log: silentLogger,
    observer,
  });
  stack.defer(() => server.close(0));
  const path = join(daemon.folder, "d.sock");
  await server.listen({ path });
  const connection = stack.use(await connectGrpc({ path }));
  const owned = stack.move();
  const tasks = connection.client(Tasks, { namespace: "default" });
  return { host, daemon, tasks, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** A trace whose spans are named after what they are of. */
function trace(name: string): Trace {
  return { traceId: "t", traceparent: name, child: (inner) => trace(`${name} > ${inner}`), end: () => {} };
}

describe("the tasks service", () => {
  test("has calls to shims go on with the trace of what they are made for", async () => {
    let call = 0;
    const begin: CallObserver["begin"] = () => {
      call += 1;
      return { trace: trace(`${call}`), received: () => {}, sent: () => {}, ended: () => {} };
    };
    await using b = await bench({ begin });
    b.daemon.container("c1");
    await b.tasks.create({ containerId: "c1" });
    await b.tasks.start({ containerId: "c1" });
    const waiting = b.tasks.wait({ containerId: "c1" });
    await b.tasks.exec({ containerId: "c1", execId: "e1", spec: { typeUrl: "x", value: new Uint8Array() } });
    await b.tasks.pause({ containerId: "c1" });
    await b.tasks.list({});
    await b.tasks.kill({ containerId: "c1", signal: 9 });
    await waiting;
    await b.tasks.delete({ containerId: "c1" });
    expect(Object.fromEntries(b.host.traceparents)).toMatchObject({
      info: undefined,
      create: "1 > shim create",
      start: "2 > shim start",
      wait: undefined, // one for all who wait
      exec: "4 > shim exec",
      pause: "5",
      state: "6",
      kill: "7",
      delete: "8 > shim delete",
    });
  });

  test("leads a container through its life", async () => {
    await using b = await bench();
    b.daemon.container("c1");
    const { pid } = await b.tasks.create({ containerId: "c1", stdout: "/tmp/out" });
    expect(await b.tasks.start({ containerId: "c1" })).toMatchObject({ pid });
    const { process } = await b.tasks.get({ containerId: "c1" });
    expect(process).toMatchObject({ id: "c1", containerId: "", pid, status: Status.RUNNING, stdout: "/tmp/out" });
    await b.tasks.pause({ containerId: "c1" });
    expect((await b.tasks.list({})).tasks).toMatchObject([{ id: "c1", status: Status.PAUSED }]);
    await b.tasks.resume({ containerId: "c1" });
    expect((await b.tasks.listPids({ containerId: "c1" })).processes).toMatchObject([{ pid }]);
    expect((await b.tasks.metrics({ filters: ["id==c1"] })).metrics).toMatchObject([{ id: "c1" }]);
    expect((await b.tasks.metrics({ filters: ["id==c2"] })).metrics).toEqual([]);
    await b.tasks.update({ containerId: "c1" });
    await b.tasks.resizePty({ containerId: "c1", width: 80, height: 24 });
    await b.tasks.closeIO({ containerId: "c1", stdin: true });
    const waiting = b.tasks.wait({ containerId: "c1" });
    await b.tasks.kill({ containerId: "c1", signal: 9, all: true });
    expect(await waiting).toMatchObject({ exitStatus: 137 });
    expect(await b.tasks.delete({ containerId: "c1" })).toMatchObject({ pid, exitStatus: 137, id: "" });
    expect(b.host.signals).toEqual([{ id: "c1", execId: "", signal: 9, all: true }]);
  });

  test("runs another process in a container", async () => {
    await using b = await bench();
    await b.daemon.running("c1");
    await b.tasks.exec({ containerId: "c1", execId: "e1", stdin: "/tmp/in" });
    const { pid } = await b.tasks.start({ containerId: "c1", execId: "e1" });
    const { process } = await b.tasks.get({ containerId: "c1", execId: "e1" });
    expect(process).toMatchObject({ id: "e1", pid, status: Status.RUNNING, stdin: "/tmp/in" });
    await b.tasks.kill({ containerId: "c1", execId: "e1", signal: 15, all: true });
    expect(b.host.signals).toEqual([{ id: "c1", execId: "e1", signal: 15, all: false }]);
    b.host.exit("default", "c1", "e1", 4);
    expect(await b.tasks.wait({ containerId: "c1", execId: "e1" })).toMatchObject({ exitStatus: 4 });
    const gone = await b.tasks.deleteProcess({ containerId: "c1", execId: "e1" });
    expect(gone).toMatchObject({ id: "e1", pid, exitStatus: 4 });
  });

  test("answers in containerd's words", async () => {
    await using b = await bench();
    const missing = 'container "c1" in namespace "default": not found';
    for (const method of ["get", "start", "delete", "pause", "resume", "listPids", "wait", "kill", "update"] as const) {
      expect(await failure(b.tasks[method]({ containerId: "c1" }))).toBe(missing);
    }
    b.daemon.container("c1");
    for (const method of ["get", "start", "delete", "checkpoint", "wait", "closeIO", "resizePty"] as const) {
      expect(await failure(b.tasks[method]({ containerId: "c1" }))).toBe("task c1 not found");
    }
    expect(await failure(b.tasks.exec({ containerId: "c1" }))).toBe("exec id cannot be empty");
    await b.daemon.running("c1");
    expect(await failure(b.tasks.exec({ containerId: "c1", execId: "a b" }))).toContain(
      "invalid exec id a b: identifier",
    );
    expect(await failure(b.tasks.metrics({ filters: ["id=="] }))).toContain("filters: parse error");
    expect(await failure(b.tasks.list({}, { namespace: "" }))).toContain("namespace is required");
    expect((await b.tasks.list({}, { namespace: "other" })).tasks).toEqual([]);
  });

  test("a wait that its caller gives up does not end the others", async () => {
    await using b = await bench();
    await b.daemon.running("c1");
    const patient = b.tasks.wait({ containerId: "c1" });
    const hasty = b.tasks.wait({ containerId: "c1" }, { timeoutMs: 20 });
    expect(await failure(hasty)).toContain("deadline exceeded");
    for (let n = 0; n < 20; n++) {
      const caller = new AbortController();
      const wait = b.tasks.wait({ containerId: "c1" }, { signal: caller.signal });
      await until(() => b.daemon.tasks.figures.waiting === 2, "the wait");
      caller.abort(fault("canceled", "left"));
      expect(await failure(wait)).toContain("left");
    }
    // Of those that left nothing is kept while the container runs.
    await until(() => b.daemon.tasks.figures.waiting === 1, "the wait");
    b.host.exit("default", "c1", "", 1);
    expect(await patient).toMatchObject({ exitStatus: 1 });
  });
});
