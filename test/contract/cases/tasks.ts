import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import { OptionsSchema } from "../../../src/gen/containerd/runc/v1/oci_pb.ts";
import { type ContainerSchema, Containers } from "../../../src/gen/containerd/services/containers/v1/containers_pb.ts";
import { Tasks } from "../../../src/gen/containerd/services/tasks/v1/tasks_pb.ts";
import { anyOf, anyOfJson, ociTypeUrls } from "../../../src/wire/any.ts";
import { deadlineAtOnce, failedMount, notUnknown, ownSignals, unknownOptions } from "../differences.ts";
import { call, type Scenario, type Step, scenario } from "../script.ts";
import type { Variables } from "../variables.ts";
import { badFilters, noDigest } from "./values.ts";

const { method } = Tasks;
const processOf = (...args: readonly string[]): object => ({
  user: { uid: 0, gid: 0 },
  args,
  cwd: "/",
  env: ["PATH=/bin"],
});
const exec = (...args: readonly string[]): Any => anyOfJson(ociTypeUrls.process, processOf(...args));
const runc: Any = anyOf(OptionsSchema, create(OptionsSchema, { binaryName: "runc" }));
const rootfs = (variables: Variables) => [{ type: "bind", source: variables.rootfs, options: ["rbind", "ro"] }];

/** A container whose process does nothing for a long time. */
function idle(
  id: string,
  { token }: Variables,
  args: readonly string[],
  name = "io.containerd.runc.v2",
): MessageInitShape<typeof ContainerSchema> {
  const namespaces = ["pid", "mount", "ipc", "uts"].map((type) => ({ type }));
  const spec = {
    ociVersion: "1.0.2",
    process: processOf(...args),
    root: { path: "rootfs", readonly: true },
    hostname: id,
    mounts: [
      { destination: "/proc", type: "proc", source: "proc" },
      { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "mode=755"] },
    ],
    linux: { cgroupsPath: `/${token}/${id}`, namespaces, resources: { pids: { limit: 100 } } },
  };
  const runtime = { name, options: runc };
  return { id, runtime, spec: anyOfJson(ociTypeUrls.spec, spec) };
}

const container = (id: string, ...args: readonly string[]): Step =>
  call(`container ${id}`, Containers.method.create, (v) => ({ container: idle(id, v, args) }), { vague: ["spec"] });

/** Every call that needs a task, of a container that has none. */
const ofNothing = (containerId: string): readonly Step[] => [
  call(`get of ${containerId}`, method.get, { containerId }),
  call(`start of ${containerId}`, method.start, { containerId }),
  call(`start of a process of ${containerId}`, method.start, { containerId, execId: "e" }),
  call(`wait for ${containerId}`, method.wait, { containerId }),
  call(`kill of ${containerId}`, method.kill, { containerId, signal: 9 }),
  call(`exec in ${containerId}`, method.exec, { containerId, execId: "e", spec: exec("true") }),
  call(`exec without an id in ${containerId}`, method.exec, { containerId, spec: exec("true") }),
  call(`resize of ${containerId}`, method.resizePty, { containerId, width: 80, height: 24 }),
  call(`close of ${containerId}'s stdin`, method.closeIO, { containerId, stdin: true }),
  call(`pause of ${containerId}`, method.pause, { containerId }),
  call(`resume of ${containerId}`, method.resume, { containerId }),
  call(`pids of ${containerId}`, method.listPids, { containerId }),
  call(`update of ${containerId}`, method.update, { containerId }),
  call(`checkpoint of ${containerId}`, method.checkpoint, { containerId }),
  call(`delete of a process of ${containerId}`, method.deleteProcess, { containerId, execId: "e" }),
  call(`delete of ${containerId}`, method.delete, { containerId }),
];

const absent: Scenario = scenario(
  "tasks",
  "what is not there",
  [
    call("list of nothing", method.list, {}),
    call("metrics of nothing", method.metrics, {}),
    call("metrics by a name", method.metrics, { filters: ["id==none"] }),
    ...badFilters.map((filter) => call(`metrics by ${filter}`, method.metrics, { filters: [filter] })),
    call("create without a container", method.create, { containerId: "none" }),
    call("create of nothing", method.create, {}),
    ...ofNothing("none"),
    container("taskless", "sleep", "1000"),
    ...ofNothing("taskless"),
    call("create from a checkpoint of an unknown type", method.create, (v) => ({
      containerId: "taskless",
      rootfs: rootfs(v),
      checkpoint: { mediaType: "text/plain", digest: noDigest, size: 1n },
    })),
    call(
      "create with options that are none",
      method.create,
      (v) => ({
        containerId: "taskless",
        rootfs: rootfs(v),
        options: { typeUrl: "nope", value: new Uint8Array([1]) },
      }),
      { differs: unknownOptions },
    ),
    call("create with options of another type", method.create, (v) => ({
      containerId: "taskless",
      rootfs: rootfs(v),
      options: { typeUrl: "containerd.events.TaskIO", value: new Uint8Array() },
    })),
    call("the container goes", Containers.method.delete, { id: "taskless" }),
  ],
  "<token>",
);

const life: Scenario = scenario(
  "tasks",
  "a life",
  [
    container("t", "sleep", "1000"),
    call("create", method.create, (v) => ({ containerId: "t", rootfs: rootfs(v) }), { awaits: ["/tasks/create"] }),
    call("create again", method.create, (v) => ({ containerId: "t", rootfs: rootfs(v) })),
    call("get of what was created", method.get, { containerId: "t" }),
    call(
      "exec before the start",
      method.exec,
      { containerId: "t", execId: "early", spec: exec("true") },
      {
        awaits: ["/tasks/exec-added"],
      },
    ),
    call("start", method.start, { containerId: "t" }, { awaits: ["/tasks/start"] }),
    call("start again", method.start, { containerId: "t" }, { differs: notUnknown }),
    call("get", method.get, { containerId: "t" }),
    call("get of no process", method.get, { containerId: "t", execId: "none" }),
    call("get from another namespace", method.get, { containerId: "t" }, { namespace: "elsewhere" }),
    call("list", method.list, {}),
    call("pids", method.listPids, { containerId: "t" }, { vague: ["info"] }),
    // Long enough for a busy machine to take the call.
    call("wait with a deadline", method.wait, { containerId: "t" }, { timeout: "500m", differs: deadlineAtOnce }),
    call("wait with a caller who leaves", method.wait, { containerId: "t" }, { leave: { afterMs: 20 } }),
    call("wait for no process", method.wait, { containerId: "t", execId: "none" }),
    call("delete of what runs", method.delete, { containerId: "t" }, { differs: notUnknown }),
    call("kill by no signal", method.kill, { containerId: "t", signal: 0 }),
    call("kill by an unknown signal", method.kill, { containerId: "t", signal: 250 }, { differs: ownSignals }),
    call("kill of no process", method.kill, { containerId: "t", execId: "none", signal: 9 }),
    call("resize without a terminal", method.resizePty, { containerId: "t", width: 80, height: 24 }),
    call("close of no stdin", method.closeIO, { containerId: "t", stdin: true }),
    call("close of nothing", method.closeIO, { containerId: "t" }),
    call("pause", method.pause, { containerId: "t" }, { awaits: ["/tasks/paused"] }),
    call("pause again", method.pause, { containerId: "t" }, { differs: notUnknown }),
    call("get of what is paused", method.get, { containerId: "t" }),
    call(
      "exec in what is paused",
      method.exec,
      { containerId: "t", execId: "p", spec: exec("true") },
      { differs: notUnknown },
    ),
    call("resume", method.resume, { containerId: "t" }, { awaits: ["/tasks/resumed"] }),
    call("resume again", method.resume, { containerId: "t" }, { differs: notUnknown }),
    call("update", method.update, {
      containerId: "t",
      resources: anyOfJson(ociTypeUrls.linuxResources, { pids: { limit: 50 } }),
    }),
    call("metrics", method.metrics, { filters: ["id==t"] }, { vague: ["data"] }),
    call("kill", method.kill, { containerId: "t", signal: 9 }, { awaits: ["/tasks/exit"] }),
    call("wait after the end", method.wait, { containerId: "t" }),
    call("get after the end", method.get, { containerId: "t" }),
    call("kill after the end", method.kill, { containerId: "t", signal: 9 }),
    call("kill of all after the end", method.kill, { containerId: "t", signal: 9, all: true }),
    call("start after the end", method.start, { containerId: "t" }, { differs: notUnknown }),
    call("pause after the end", method.pause, { containerId: "t" }, { differs: notUnknown }),
    call(
      "exec after the end",
      method.exec,
      { containerId: "t", execId: "late", spec: exec("true") },
      { differs: notUnknown },
    ),
    call("pids after the end", method.listPids, { containerId: "t" }),
    call("delete", method.delete, { containerId: "t" }, { awaits: ["/tasks/delete"] }),
    call("delete again", method.delete, { containerId: "t" }),
    call("the container goes", Containers.method.delete, { id: "t" }),
  ],
  "<token>",
);

const processes: Scenario = scenario(
  "tasks",
  "processes",
  [
    container("p", "sleep", "1000"),
    call("create", method.create, (v) => ({ containerId: "p", rootfs: rootfs(v) }), { awaits: ["/tasks/create"] }),
    call("start", method.start, { containerId: "p" }, { awaits: ["/tasks/start"] }),
    call(
      "exec",
      method.exec,
      { containerId: "p", execId: "e", spec: exec("sh", "-c", "exit 7") },
      {
        awaits: ["/tasks/exec-added"],
      },
    ),
    call("exec again", method.exec, { containerId: "p", execId: "e", spec: exec("true") }),
    call("exec with a bad id", method.exec, { containerId: "p", execId: "../e", spec: exec("true") }),
    call("exec with a long id", method.exec, { containerId: "p", execId: "e".repeat(77), spec: exec("true") }),
    call(
      "exec with the container's id",
      method.exec,
      { containerId: "p", execId: "p", spec: exec("true") },
      {
        awaits: ["/tasks/exec-added"],
      },
    ),
    call("get of a process", method.get, { containerId: "p", execId: "e" }),
    call("kill of what has not begun", method.kill, { containerId: "p", execId: "e", signal: 9 }),
    call(
      "start of a process",
      method.start,
      { containerId: "p", execId: "e" },
      {
        awaits: ["/tasks/exec-started", "/tasks/exit"],
      },
    ),
    call("wait for it", method.wait, { containerId: "p", execId: "e" }),
    call("get of it", method.get, { containerId: "p", execId: "e" }),
    call("start of it again", method.start, { containerId: "p", execId: "e" }, { differs: notUnknown }),
    call("kill of it", method.kill, { containerId: "p", execId: "e", signal: 9 }),
    call("delete of it", method.deleteProcess, { containerId: "p", execId: "e" }),
    call("delete of it again", method.deleteProcess, { containerId: "p", execId: "e" }),
    call("delete of no id", method.deleteProcess, { containerId: "p" }, { differs: notUnknown }),
    call(
      "a program that is not there",
      method.exec,
      { containerId: "p", execId: "x", spec: exec("nonesuch") },
      {
        awaits: ["/tasks/exec-added"],
      },
    ),
    call("start of it fails", method.start, { containerId: "p", execId: "x" }, { differs: notUnknown }),
    call("delete of what did not start", method.deleteProcess, { containerId: "p", execId: "x" }),
    call(
      "a process that stays",
      method.exec,
      { containerId: "p", execId: "s", spec: exec("sleep", "999") },
      {
        awaits: ["/tasks/exec-added"],
      },
    ),
    call("its start", method.start, { containerId: "p", execId: "s" }, { awaits: ["/tasks/exec-started"] }),
    call("delete of what runs", method.deleteProcess, { containerId: "p", execId: "s" }, { differs: notUnknown }),
    call("pids", method.listPids, { containerId: "p" }, { vague: ["info"] }),
    call("kill of a process", method.kill, { containerId: "p", execId: "s", signal: 15 }, { awaits: ["/tasks/exit"] }),
    call("delete of it after its end", method.deleteProcess, { containerId: "p", execId: "s" }),
    call("kill of all", method.kill, { containerId: "p", signal: 9, all: true }, { awaits: ["/tasks/exit"] }),
    call("delete", method.delete, { containerId: "p" }, { awaits: ["/tasks/delete"] }),
    call("the container goes", Containers.method.delete, { id: "p" }),
  ],
  "<token>",
);

const failures: Scenario = scenario(
  "tasks",
  "starts that fail",
  [
    container("f", "nonesuch"),
    call("create of a program that is not there", method.create, (v) => ({ containerId: "f", rootfs: rootfs(v) }), {
      differs: notUnknown,
    }),
    container("g", "true"),
    call("create without a rootfs", method.create, { containerId: "g" }, { differs: notUnknown }),
    container("h", "true"),
    call(
      "create with a mount that fails",
      method.create,
      {
        containerId: "h",
        rootfs: [{ type: "bind", source: "/nonesuch", options: ["rbind"] }],
      },
      { differs: [notUnknown, failedMount] },
    ),
    call("list after it", method.list, {}),
    call("delete after it", method.delete, { containerId: "f" }),
    ...["f", "g", "h"].map((id) => call(`${id} goes`, Containers.method.delete, { id })),
    call(
      "a container of an unknown runtime",
      Containers.method.create,
      (v) => ({ container: idle("u", v, ["true"], "io.containerd.nope.v1") }),
      { vague: ["spec"] },
    ),
    call("create with an unknown runtime", method.create, (v) => ({ containerId: "u", rootfs: rootfs(v) })),
    call("it goes", Containers.method.delete, { id: "u" }),
  ],
  "<token>",
);

export const taskScenarios: readonly Scenario[] = [absent, life, processes, failures];
