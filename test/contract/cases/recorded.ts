import { Introspection } from "../../../src/gen/containerd/services/introspection/v1/introspection_pb.ts";
import { Mounts } from "../../../src/gen/containerd/services/mounts/v1/mounts_pb.ts";
import { Controller, Store } from "../../../src/gen/containerd/services/sandbox/v1/sandbox_pb.ts";
import { Streaming } from "../../../src/gen/containerd/services/streaming/v1/streaming_pb.ts";
import { Transfer } from "../../../src/gen/containerd/services/transfer/v1/transfer_pb.ts";
import { call, type Scenario, type Step, scenario } from "../script.ts";
import { emptySpec, goodFilters } from "./values.ts";

/** Calls that 1.6 does not know, with the status that containerd 2.x's source gives them. */
export interface RecordedScenario {
  readonly scenario: Scenario;
  /** What `status` says of each step, in their order; where lighter answers in its own words, these. */
  readonly statuses: readonly string[];
}

type Recorded = readonly [step: Step, status: string, ours?: string];

const recorded = (service: string, name: string, ...steps: readonly Recorded[]): RecordedScenario => ({
  scenario: scenario(
    service,
    name,
    steps.map(([step]) => step),
  ),
  statuses: steps.map(([, status, ours]) => ours ?? status),
});

const store = Store.method;
const sandbox = (sandboxId: string, more: object = {}) => ({
  sandbox: { sandboxId, runtime: { name: "io.containerd.runc.v2" }, spec: emptySpec, ...more },
});
const noName = "identifier must not be empty: invalid argument";
const badName = 'identifier "a/b" must match ^[A-Za-z0-9]+(?:[._-](?:[A-Za-z0-9]+))*$: invalid argument';

/** Source: core/metadata/sandbox.go. */
const sandboxRecords = recorded(
  "sandbox",
  "records",
  [call("list of nothing", store.list, {}), "OK"],
  [call("get where there is none", store.get, { sandboxId: "x" }), "NOT_FOUND no sandbox buckets: not found"],
  [call("delete where there is none", store.delete, { sandboxId: "x" }), "NOT_FOUND no sandbox buckets: not found"],
  [call("update where there is none", store.update, sandbox("x")), "NOT_FOUND no sandbox buckets: not found"],
  [
    call("create in no namespace", store.create, sandbox("x"), { namespace: null }),
    "FAILED_PRECONDITION namespace is required: failed precondition",
  ],
  [
    call("create without an id", store.create, sandbox("")),
    `INVALID_ARGUMENT failed to validate sandbox: invalid sandbox ID: ${noName}`,
  ],
  [
    call("create with a bad id", store.create, sandbox("a/b")),
    `INVALID_ARGUMENT failed to validate sandbox: invalid sandbox ID: ${badName}`,
  ],
  [call("create", store.create, sandbox("s", { labels: { a: "1" } })), "OK"],
  [
    call("create again", store.create, sandbox("s")),
    'ALREADY_EXISTS write error: sandbox bucket "s" already exists: already exists',
  ],
  [
    call("create with an empty label key", store.create, sandbox("k", { labels: { "": "x" } })),
    'UNKNOWN write error: failed to set label ""="x": key required',
  ],
  [call("create another", store.create, sandbox("kept")), "OK"],
  [call("get", store.get, { sandboxId: "s" }), "OK"],
  [call("get of none", store.get, { sandboxId: "x" }), 'NOT_FOUND bucket "x" not found: not found'],
  [call("update of none", store.update, sandbox("x")), 'NOT_FOUND bucket "x" not found: not found'],
  [call("mask a label", store.update, { ...sandbox("s", { labels: { b: "2" } }), fields: ["labels.b"] }), "OK"],
  [
    call("mask the id", store.update, { ...sandbox("s"), fields: ["id"] }),
    'INVALID_ARGUMENT cannot update "id" field on sandbox "s": invalid argument',
  ],
  [
    call("replace with another runtime", store.update, sandbox("s", { runtime: { name: "other" } })),
    "INVALID_ARGUMENT sandbox.Runtime.Name field is immutable: invalid argument",
  ],
  ...goodFilters.map((filter): Recorded => [call(`list by ${filter}`, store.list, { filters: [filter] }), "OK"]),
  [
    call("list by nonsense", store.list, { filters: ["id=="] }),
    "INVALID_ARGUMENT filters: parse error: [id==]: expected value or quoted: invalid argument: invalid argument",
  ],
  [call("delete", store.delete, { sandboxId: "s" }), "OK"],
  [call("delete again", store.delete, { sandboxId: "s" }), 'NOT_FOUND failed to delete sandbox "s": not found'],
);

const controller = Controller.method;
const unnamed = "invalid argument: sandbox controller name can not be empty";
const unknown = "not found: failed to get sandbox controller by nope";

/** Source: plugins/services/sandbox/controller_service.go. */
const sandboxController = recorded(
  "sandbox",
  "controllers that are not there",
  ...[controller.create, controller.stop, controller.wait, controller.status, controller.shutdown].flatMap(
    (method): readonly Recorded[] => [
      [call(`${method.name} on none`, method, { sandboxId: "s" }), `INVALID_ARGUMENT ${unnamed}`],
      [call(`${method.name} on nope`, method, { sandboxId: "s", sandboxer: "nope" }), `NOT_FOUND ${unknown}`],
    ],
  ),
  [
    call("Start on nope", controller.start, { sandboxId: "s", sandboxer: "nope" }),
    `NOT_FOUND failed to get sandbox controller for "nope": ${unknown}`,
  ],
  [call("Metrics on nope", controller.metrics, { sandboxId: "s", sandboxer: "nope" }), `NOT_FOUND ${unknown}`],
  [
    call("Update of nothing", controller.update, { sandboxId: "s", sandboxer: "shim" }),
    "UNKNOWN sandbox can not be nil",
  ],
);

const shim = { sandboxId: "p", sandboxer: "shim" };
/** A sandbox that is a name alone, as without a spec. Source: plugins/sandbox/controller.go. */
const sandboxLife = recorded(
  "sandbox",
  "a life",
  [
    call("create", controller.create, { ...shim, sandbox: { ...shim, runtime: { name: "io.containerd.runc.v2" } } }),
    "OK",
  ],
  [
    call("create again", controller.create, {
      ...shim,
      sandbox: { ...shim, runtime: { name: "io.containerd.runc.v2" } },
    }),
    "ALREADY_EXISTS sandbox p already running: already exists",
  ],
  [call("start", controller.start, shim), "OK"],
  [call("platform", controller.platform, shim), "OK"],
  [call("status", controller.status, shim), "OK"],
  [call("metrics", controller.metrics, shim), "OK"],
  [call("update", controller.update, { ...shim, sandbox: shim, fields: ["labels"] }), "OK"],
  [
    call("a wait with a deadline", controller.wait, shim, { timeout: "300m" }),
    "DEADLINE_EXCEEDED context deadline exceeded",
  ],
  [call("stop", controller.stop, shim), "OK"],
  [call("wait", controller.wait, shim), "OK"],
  [call("shutdown", controller.shutdown, shim), "OK"],
  [call("shutdown again", controller.shutdown, shim), "NOT_FOUND not found"],
  [call("platform of none", controller.platform, shim), "NOT_FOUND not found"],
);

/** Source: plugins/services/transfer/service.go, plugins/services/streaming/service.go. */
const transfers = recorded(
  "transfer",
  "what is not there",
  [
    call("between types that nobody knows", Transfer.method.transfer, {
      source: { typeUrl: "nope.A", value: new Uint8Array() },
      destination: { typeUrl: "nope.B", value: new Uint8Array() },
    }),
    "UNKNOWN type with url nope.A: not found",
    "UNIMPLEMENTED unable to transfer from nope.A to nope.B: not implemented",
  ],
  [
    call("with progress to no stream", Transfer.method.transfer, { options: { progressStream: "none" } }),
    "NOT_FOUND not found",
    'NOT_FOUND stream "none": not found',
  ],
  [call("a stream of nothing", Streaming.method.stream, []), "UNKNOWN EOF"],
);

const mounts = Mounts.method;
/** Source: core/mount/manager/manager.go. */
const mountRecords = recorded(
  "mounts",
  "what is not there",
  [call("list of nothing", mounts.list, {}), "OK"],
  [call("activate of nothing to do", mounts.activate, { name: "m", mounts: [] }), "UNIMPLEMENTED not implemented"],
  [call("update", mounts.update, { info: { name: "m" } }), "UNIMPLEMENTED not implemented"],
  [
    call("info in no namespace", mounts.info, { name: "m" }, { namespace: null }),
    "FAILED_PRECONDITION namespace is required: failed precondition",
  ],
);

const bind = [{ type: "bind", source: "/usr", options: ["rbind", "ro"] }];
/** Source: core/mount/manager/manager.go. */
const mountLife = recorded(
  "mounts",
  "a life",
  [call("activate", mounts.activate, { name: "m", mounts: bind, temporary: true, labels: { a: "1" } }), "OK"],
  [
    call("activate again", mounts.activate, { name: "m", mounts: bind, temporary: true }),
    'ALREADY_EXISTS mount "m": already exists',
  ],
  [call("info", mounts.info, { name: "m" }), "OK"],
  [call("info of none", mounts.info, { name: "n" }), 'NOT_FOUND mount "n" not found'],
  [call("list", mounts.list, {}), "OK"],
  [
    call("list in no namespace", mounts.list, {}, { namespace: null }),
    "FAILED_PRECONDITION namespace is required: failed precondition",
  ],
  [call("deactivate", mounts.deactivate, { name: "m" }), "OK"],
  [call("deactivate again", mounts.deactivate, { name: "m" }), 'NOT_FOUND missing mount "m" bucket: not found'],
);

/** Source: plugins/services/introspection/local.go, PluginInfo. */
const plugins = recorded(
  "introspection",
  "more of a plugin",
  [
    call("a snapshotter", Introspection.method.pluginInfo, { type: "io.containerd.snapshotter.v1", id: "overlayfs" }),
    "OK",
  ],
  [
    call("none", Introspection.method.pluginInfo, { type: "io.containerd.snapshotter.v1", id: "nope" }),
    "NOT_FOUND plugin io.containerd.snapshotter.v1.nope not found: not found",
  ],
);

export const recordedScenarios: readonly RecordedScenario[] = [
  sandboxRecords,
  sandboxController,
  sandboxLife,
  transfers,
  mountRecords,
  mountLife,
  plugins,
];
