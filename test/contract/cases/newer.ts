import { create } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import { Containers } from "../../../src/gen/containerd/services/containers/v1/containers_pb.ts";
import { Images } from "../../../src/gen/containerd/services/images/v1/images_pb.ts";
import { Introspection } from "../../../src/gen/containerd/services/introspection/v1/introspection_pb.ts";
import { Controller, Store } from "../../../src/gen/containerd/services/sandbox/v1/sandbox_pb.ts";
import { StreamInitSchema, Streaming } from "../../../src/gen/containerd/services/streaming/v1/streaming_pb.ts";
import { Transfer } from "../../../src/gen/containerd/services/transfer/v1/transfer_pb.ts";
import { RuntimeRequestSchema } from "../../../src/gen/containerd/types/introspection_pb.ts";
import { ImageStoreSchema } from "../../../src/gen/containerd/types/transfer/imagestore_pb.ts";
import {
  ImageExportStreamSchema,
  ImageImportStreamSchema,
} from "../../../src/gen/containerd/types/transfer/importexport_pb.ts";
import { anyOf } from "../../../src/wire/any.ts";
import {
  logSchemes,
  namedStream,
  noTransfer,
  notInit,
  platforms,
  sandboxExtensionsReplaced,
  typeNames,
  whoseStart,
} from "../differences.ts";
import { call, type Scenario, scenario } from "../script.ts";
import { emptySpec, rooted, target } from "./values.ts";

const runtime = { name: "io.containerd.runc.v2" };
const sandboxer = "shim";
const on = (sandboxId: string) => ({ sandboxId, sandboxer });
const sandbox = (sandboxId: string, more: object = {}) => ({ sandboxId, runtime, sandboxer, spec: emptySpec, ...more });

const store = Store.method;
const records: Scenario = scenario("sandbox", "answers of the store", [
  call("create", store.create, { sandbox: sandbox("s", { labels: { a: "1" }, extensions: { e: emptySpec } }) }),
  call("create without a spec", store.create, { sandbox: { sandboxId: "specless", runtime } }),
  call("get", store.get, { sandboxId: "s" }),
  call("get without an id", store.get, { sandboxId: "" }),
  call("list", store.list, {}),
  call("list by a label", store.list, { filters: ["labels.a==1"] }),
  call("list by an id", store.list, { filters: ['id~="^s$"', "runtime.name==x"] }),
  call("list by a sandboxer", store.list, { filters: ["sandboxer==shim"] }),
  call("update a label", store.update, { sandbox: sandbox("s", { labels: { b: "2" } }), fields: ["labels.b"] }),
  call("update an extension", store.update, {
    sandbox: sandbox("s", { extensions: { f: emptySpec } }),
    fields: ["extensions.f"],
  }),
  call("update labels and extensions", store.update, {
    sandbox: sandbox("s", { labels: { c: "3" } }),
    fields: ["labels", "extensions"],
  }),
  call(
    "update the spec",
    store.update,
    { sandbox: sandbox("s"), fields: ["spec"] },
    { differs: sandboxExtensionsReplaced },
  ),
  call(
    "update the runtime",
    store.update,
    { sandbox: sandbox("s"), fields: ["runtime"] },
    { differs: sandboxExtensionsReplaced },
  ),
  call("update a field of none", store.update, { sandbox: sandbox("s"), fields: ["nope"] }),
  call("update of all", store.update, { sandbox: sandbox("s", { labels: { d: "4" } }) }),
  call("get what was updated", store.get, { sandboxId: "s" }, { differs: sandboxExtensionsReplaced }),
  call("delete", store.delete, { sandboxId: "s" }),
  call("delete without an id", store.delete, { sandboxId: "" }),
]);

const controller = Controller.method;
/** Debian's shim has no sandboxes: what they do when there is one, `recorded.ts` and `test/e2e/sandboxes.test.ts` show. */
const unmade: Scenario = scenario("sandbox", "controllers without a sandbox", [
  call("record", store.create, { sandbox: sandbox("p") }),
  call("status", controller.status, on("p")),
  call("status with all", controller.status, { ...on("p"), verbose: true }),
  call("platform", controller.platform, on("p"), { differs: platforms }),
  call("metrics", controller.metrics, on("p")),
  call("start", controller.start, on("p"), { differs: whoseStart("p") }),
  call("wait", controller.wait, on("p")),
  call("update", controller.update, { ...on("p"), sandbox: sandbox("p", { labels: { a: "1" } }), fields: ["labels"] }),
  call("stop", controller.stop, { ...on("p"), timeoutSecs: 5 }),
  call("shutdown", controller.shutdown, on("p")),
  call("create in no namespace", controller.create, { ...on("p"), sandbox: sandbox("p") }, { namespace: null }),
  call("the record goes", store.delete, { sandboxId: "p" }),
]);

const inSandbox: Scenario = scenario("containers", "of a sandbox", [
  call("create", Containers.method.create, { container: { id: "c", runtime, spec: emptySpec, sandbox: "p" } }),
  call("get", Containers.method.get, { id: "c" }),
  call("list by its sandbox", Containers.method.list, { filters: ["sandbox_id==p"] }),
  call("list by another name of it", Containers.method.list, { filters: ["sandbox==p"] }),
  call("update its sandbox", Containers.method.update, {
    container: { id: "c", sandbox: "q" },
    updateMask: { paths: ["sandbox"] },
  }),
  call("replace it with another", Containers.method.update, {
    container: { id: "c", runtime, spec: emptySpec, sandbox: "q" },
  }),
  call("delete", Containers.method.delete, { id: "c" }),
]);

const date = { seconds: 1_000_000_000n, nanos: 0 };
const dated: Scenario = scenario("images", "dates of sources", [
  call("create", Images.method.create, { image: { name: "d", target }, sourceDateEpoch: date }),
  call("update", Images.method.update, { image: { name: "d", target, labels: rooted }, sourceDateEpoch: date }),
  call("delete", Images.method.delete, { name: "d" }),
]);

/** Of what plugins are made is told apart in `introspection.ts`. */
const needs = ["requires"];
const { pluginInfo } = Introspection.method;
const task = { type: "io.containerd.runtime.v2", id: "task" };
const ofRuntime = (runtimePath: string): Any =>
  anyOf(RuntimeRequestSchema, create(RuntimeRequestSchema, { runtimePath }));
const plugins: Scenario = scenario("introspection", "plugins, one by one", [
  call("a snapshotter", pluginInfo, { type: "io.containerd.snapshotter.v1", id: "native" }, { vague: needs }),
  call("the runtimes", pluginInfo, task, { differs: logSchemes, vague: needs }),
  call("of no type", pluginInfo, { type: "", id: "task" }),
  call("of no name", pluginInfo, { type: task.type, id: "" }),
  call("a runtime that is not there", pluginInfo, { ...task, options: ofRuntime("io.containerd.nope.v1") }),
  call("a runtime of a bad name", pluginInfo, { ...task, options: ofRuntime("nope") }),
  call("no runtime", pluginInfo, { ...task, options: ofRuntime("") }),
  call("options of another type", pluginInfo, { ...task, options: emptySpec }, { differs: typeNames }),
  call("what has no more to say", pluginInfo, { type: "io.containerd.grpc.v1", id: "version", options: emptySpec }),
]);

const stored = (name: string, more: object = {}): Any =>
  anyOf(ImageStoreSchema, create(ImageStoreSchema, { name, ...more }));
const { transfer } = Transfer.method;
const transfers: Scenario = scenario("transfer", "names and streams", [
  call("an image", Images.method.create, { image: { name: "a", target, labels: rooted } }),
  call("a tag", transfer, { source: stored("a"), destination: stored("b") }),
  call("get of the tag", Images.method.get, { name: "b" }),
  call("a tag that is there", transfer, { source: stored("a"), destination: stored("b") }),
  call("a tag with labels", transfer, { source: stored("a"), destination: stored("c", { labels: { x: "y" } }) }),
  call("get of what has labels", Images.method.get, { name: "c" }),
  call("a tag of none", transfer, { source: stored("none"), destination: stored("d") }),
  call("a tag without a name", transfer, { source: stored("a"), destination: stored("") }),
  call("from nothing", transfer, { destination: stored("e") }, { differs: noTransfer("", "Local Image Store (e)") }),
  call("to nothing", transfer, { source: stored("a") }, { differs: noTransfer("Local Image Store (a)", "") }),
  call(
    "an import from no stream",
    transfer,
    {
      source: anyOf(ImageImportStreamSchema, create(ImageImportStreamSchema, { stream: "none" })),
      destination: stored("f"),
    },
    { differs: namedStream("none") },
  ),
  call(
    "an export to no stream",
    transfer,
    {
      source: stored("a"),
      destination: anyOf(ImageExportStreamSchema, create(ImageExportStreamSchema, { stream: "none" })),
    },
    { differs: namedStream("none") },
  ),
  call("in no namespace", transfer, { source: stored("a"), destination: stored("g") }, { namespace: null }),
  ...["a", "b", "c"].map((name) => call(`${name} goes`, Images.method.delete, { name })),
]);

const init = (id: string): Any => anyOf(StreamInitSchema, create(StreamInitSchema, { id }));
const streams: Scenario = scenario("streaming", "streams", [
  call("a stream", Streaming.method.stream, [init("s")], { leave: { afterAnswers: 1 } }),
  call("of no name", Streaming.method.stream, [init("")], { leave: { afterAnswers: 1 } }),
  call("that begins with something else", Streaming.method.stream, [emptySpec], { differs: notInit }),
  call("in no namespace", Streaming.method.stream, [init("n")], { namespace: null, leave: { afterAnswers: 1 } }),
]);

/** What 1.6 does not know, and 2.1.9 does: its answers are kept in `recorded-2.1.9.json`. */
export const newerScenarios: readonly Scenario[] = [records, unmade, inSandbox, dated, plugins, transfers, streams];
