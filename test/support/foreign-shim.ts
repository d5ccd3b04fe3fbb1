import fs from "node:fs";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { AnySchema, timestampNow } from "@bufbuild/protobuf/wkt";
import { TaskExitSchema, TaskStartSchema } from "../../src/gen/containerd/events/task_pb.ts";
import {
  BootstrapParamsSchema,
  BootstrapResultSchema,
} from "../../src/gen/containerd/runtime/bootstrap/v1/bootstrap_pb.ts";
import { Sandbox } from "../../src/gen/containerd/runtime/sandbox/v1/sandbox_pb.ts";
import { Task as TaskV2 } from "../../src/gen/containerd/task/v2/shim_pb.ts";
import { DeleteResponseSchema, Task as TaskV3 } from "../../src/gen/containerd/task/v3/shim_pb.ts";
import { Status } from "../../src/gen/containerd/v1/types/task_pb.ts";
import { notFound } from "../../src/lib/faults.ts";
import { silentLogger } from "../../src/lib/log.ts";
import { anyOf } from "../../src/wire/any.ts";
import { createGrpcServer } from "../../src/wire/grpc/index.ts";
import { defineService, type ServiceImpl } from "../../src/wire/service.ts";
import { createTtrpcServer } from "../../src/wire/ttrpc/index.ts";

/**
 * A shim as somebody else may write it, whose tasks are plain processes of `sleep`. FORM says how it answers and what it
 * speaks: `line` (Task v2 over ttrpc), `json` (v3 over gRPC), `proto` (v3 over ttrpc, sandboxes too). Its events go through the
 * program that it was told of.
 */
const form = process.env["FORM"] ?? "line";
const words = process.argv.slice(2);
const flag = (name: string): string => words[words.indexOf(`-${name}`) + 1] ?? "";
const [id, namespace] = [flag("id"), flag("namespace")];

interface FakeTask {
  readonly child: Bun.Subprocess;
  started: boolean;
}

function publish(topic: string, event: ReturnType<typeof anyOf>): Promise<number> {
  const command = [flag("publish-binary"), "-address", flag("address"), "publish"];
  return Bun.spawn([...command, "-topic", topic, "-namespace", namespace], { stdin: toBinary(AnySchema, event) })
    .exited;
}

function taskMethods(tasks: Map<string, FakeTask>): ServiceImpl<typeof TaskV3> {
  const find = (name: string): FakeTask => {
    const task = tasks.get(name);
    if (task === undefined) throw notFound(`task ${name}`);
    return task;
  };
  const statusOf = ({ child, started }: FakeTask): Status => {
    if (child.exitCode !== null || child.signalCode !== null) return Status.STOPPED;
    return started ? Status.RUNNING : Status.CREATED;
  };
  const exit = ({ child }: FakeTask) => ({ pid: child.pid, exitStatus: 137, exitedAt: timestampNow() });
  return {
    create: (_ctx, request) => {
      const task = { child: Bun.spawn(["sleep", "1000"], { stdio: ["ignore", "ignore", "ignore"] }), started: false };
      fs.writeFileSync(`${request.bundle}/sleep.pid`, String(task.child.pid));
      tasks.set(request.id, task);
      return { pid: task.child.pid };
    },
    start: async (_ctx, request) => {
      const task = find(request.id);
      task.started = true;
      const facts = { containerId: request.id, pid: task.child.pid };
      await publish("/tasks/start", anyOf(TaskStartSchema, create(TaskStartSchema, facts)));
      return { pid: task.child.pid };
    },
    state: (_ctx, request) => {
      const task = find(request.id);
      return { id: request.id, pid: task.child.pid, status: statusOf(task) };
    },
    kill: async (_ctx, request) => {
      const task = find(request.id);
      task.child.kill(request.signal);
      await task.child.exited;
      const facts = { containerId: request.id, id: request.id, ...exit(task) };
      await publish("/tasks/exit", anyOf(TaskExitSchema, create(TaskExitSchema, facts)));
      return {};
    },
    wait: async (_ctx, request) => {
      const task = find(request.id);
      await task.child.exited;
      return exit(task);
    },
    delete: (_ctx, request) => {
      const task = find(request.id);
      task.child.kill("SIGKILL");
      tasks.delete(request.id);
      return exit(task);
    },
    pids: (_ctx, request) => ({ processes: [{ pid: find(request.id).child.pid }] }),
    connect: (_ctx, request) => ({
      shimPid: process.pid,
      taskPid: tasks.get(request.id)?.child.pid ?? 0,
      version: form,
    }),
    shutdown: () => {
      if (tasks.size === 0 && !sandboxed) setTimeout(() => process.exit(0), 10);
      return {};
    },
  };
}

let sandboxed = false;

const sandboxMethods: ServiceImpl<typeof Sandbox> = {
  createSandbox: () => {
    sandboxed = true;
    return {};
  },
  startSandbox: () => ({ pid: process.pid, createdAt: timestampNow() }),
  sandboxStatus: (_ctx, { sandboxId }) => ({ sandboxId, pid: process.pid, state: "SANDBOX_READY" }),
  pingSandbox: () => ({}),
  stopSandbox: () => ({}),
  shutdownSandbox: () => {
    sandboxed = false;
    setTimeout(() => process.exit(0), 10);
    return {};
  },
};

async function serve(socket: string): Promise<void> {
  const impl = taskMethods(new Map());
  const v2 = defineService(TaskV2, impl as unknown as ServiceImpl<typeof TaskV2>);
  const v3 = [defineService(TaskV3, impl), defineService(Sandbox, sandboxMethods)];
  if (form === "json") await createGrpcServer({ services: v3, log: silentLogger }).listen({ path: socket });
  else await createTtrpcServer({ services: form === "line" ? [v2] : v3, log: silentLogger }).listen(socket);
  fs.writeFileSync("log", `level=warning msg="${form} serves"\n`);
}

function answer(address: string): string | Uint8Array {
  if (form === "line") return `${address}\n`;
  if (form === "json")
    return JSON.stringify({ version: 3, address: address.slice("unix://".length), protocol: "grpc" });
  const result = create(BootstrapResultSchema, { version: 3, address, protocol: "ttrpc" });
  return toBinary(BootstrapResultSchema, result);
}

async function start(): Promise<void> {
  const params = fromBinary(BootstrapParamsSchema, await Bun.stdin.bytes());
  const told = [params.instanceId, params.namespace, params.containerdTtrpcAddress];
  if (told.join() !== [id, namespace, process.env["TTRPC_ADDRESS"]].join()) throw new Error(`told ${told.join()}`);
  if (!fs.existsSync("config.json")) throw new Error("not started in the bundle");
  const socket = `${process.cwd()}/f.sock`;
  const command = [process.execPath, ...process.execArgv, import.meta.path, ...words.slice(0, -1), "serve"];
  Bun.spawn(command, { stdio: ["ignore", "ignore", "ignore"], detached: true }).unref();
  while (!fs.existsSync(socket)) await Bun.sleep(5);
  fs.writeSync(1, answer(`unix://${socket}`) as Uint8Array);
}

/** After a death of the shim its task is still there. */
function endSleep(): void {
  try {
    process.kill(Number(fs.readFileSync(`${flag("bundle")}/sleep.pid`, "utf8")), "SIGKILL");
  } catch {
    // There was no task, or it has ended.
  }
}

switch (words.at(-1)) {
  case "start":
    await start();
    process.exit(0);
    break;
  case "delete":
    endSleep();
    fs.writeSync(1, toBinary(DeleteResponseSchema, create(DeleteResponseSchema, { pid: 7, exitStatus: 42 })));
    process.exit(0);
    break;
  default:
    await serve(`${process.cwd()}/f.sock`);
}
