import type { MessageInitShape } from "@bufbuild/protobuf";
import { type ContainerSchema, Containers } from "../../../src/gen/containerd/services/containers/v1/containers_pb.ts";
import { extensionsReplaced, longLabel } from "../differences.ts";
import { call, type Scenario, type Step, scenario } from "../script.ts";
import { refusedFilter } from "./refused-filter.ts";
import { badFilters, badRegexps, emptySpec, goodFilters, longestLabel, tooLongLabel } from "./values.ts";

const { get, list, listStream, create, update, delete: remove } = Containers.method;
const runtime = { name: "io.containerd.runc.v2" };
type Given = Omit<MessageInitShape<typeof ContainerSchema>, "$typeName">;

/** A container that is good but for what is given. */
const one = (id: string, more: Given = {}) => ({ container: { id, runtime, spec: emptySpec, ...more } });
const masked = (id: string, more: Given, ...paths: readonly string[]) => ({
  container: { id, ...more },
  updateMask: { paths: [...paths] },
});

const creations: Scenario = scenario("containers", "creations", [
  call("get of none", get, { id: "none" }),
  call("get without an id", get, { id: "" }),
  call("list of nothing", list, {}),
  call("stream of nothing", listStream, {}),
  call("create", create, one("a", { labels: { l: "1", gone: "" }, image: "img", extensions: { e: emptySpec } })),
  call("create again", create, one("a")),
  call("create without an id", create, one("")),
  call("create with a bad id", create, one("../a")),
  call("create with a long id", create, one("x".repeat(77))),
  call("create with the longest id", create, one("x".repeat(76))),
  call("create without a runtime", create, { container: { id: "b", spec: emptySpec } }),
  call("create with a nameless runtime", create, one("b", { runtime: { options: emptySpec } })),
  call("create with options of a runtime", create, one("opts", { runtime: { ...runtime, options: emptySpec } })),
  call("create without a spec", create, { container: { id: "b", runtime } }),
  call("create with an empty spec", create, one("specless", { spec: { typeUrl: "", value: new Uint8Array() } })),
  call("create with a key but no snapshotter", create, one("b", { snapshotKey: "k" })),
  call("create with a snapshotter but no key", create, one("keyless", { snapshotter: "overlayfs" })),
  call("create with a long label", create, one("b", { labels: tooLongLabel }), { differs: longLabel }),
  call("create with the longest label", create, one("long", { labels: longestLabel })),
  call("create with an empty label key", create, one("b", { labels: { "": "x" } })),
  call("create with a label of no key and no value", create, one("valueless", { labels: { "": "" } })),
  call("create with an empty extension key", create, one("b", { extensions: { "": emptySpec } })),
  call(
    "create with an empty extension",
    create,
    one("b", { extensions: { x: { typeUrl: "", value: new Uint8Array() } } }),
  ),
  call("create of nothing", create, {}),
  call(
    "create with times of its own",
    create,
    one("times", { createdAt: { seconds: 1n }, updatedAt: { seconds: 1n } }),
  ),
  call("get", get, { id: "a" }),
  call("get of options", get, { id: "opts" }),
  call("get from another namespace", get, { id: "a" }, { namespace: "elsewhere" }),
  call("list", list, {}),
  call("stream", listStream, {}),
  call("delete", remove, { id: "a" }),
  call("delete again", remove, { id: "a" }),
  call("delete without an id", remove, { id: "" }),
  call("delete with a bad id", remove, { id: "../a" }),
]);

const listed = (filter: string): Step => call(`list by ${filter || "nothing"}`, list, { filters: [filter] });
const refused = (filter: string): Step => refusedFilter(list, filter, { filters: [filter] }, "twice");

const filters: Scenario = scenario("containers", "filters", [
  call("a", create, one("a", { labels: { l: "1", "with.dots/and-slash": "1" }, image: "img" })),
  call("b", create, one("b", { labels: { l: "2", q: 'a "quoted" one' }, snapshotter: "overlayfs", snapshotKey: "k" })),
  call("a dotted one", create, one("a.b")),
  ...goodFilters.map(listed),
  ...badFilters.map(listed),
  ...badRegexps("id").map(refused),
  ...["runtime.name~=runc", "image==img", "snapshotter==overlayfs", 'labels.q=="a \\"quoted\\" one"'].map(listed),
  call("list by either", list, { filters: ["id==nope", "labels.l==2"] }),
  call("list by a good and a bad one", list, { filters: ["id==a", "foo bar"] }),
  call("stream by one", listStream, { filters: ["id~=^a"] }),
  call("stream by a bad one", listStream, { filters: ["id=="] }),
  call("stream with a reader who leaves", listStream, {}, { leave: { afterAnswers: 1 } }),
]);

const updates: Scenario = scenario("containers", "updates", [
  call("create", create, one("a", { labels: { l: "1", k: "1" }, image: "img", extensions: { e: emptySpec } })),
  call("create with a snapshot", create, one("b", { snapshotter: "overlayfs", snapshotKey: "k" })),
  call("update of nothing", update, {}),
  call("update without an id", update, { container: {} }),
  call("update of none", update, one("none")),
  call("mask of none", update, masked("none", { image: "x" }, "image")),
  call("mask a label", update, masked("a", { labels: { l: "2", m: "3" } }, "labels.l")),
  call("mask a label that is not sent", update, masked("a", {}, "labels.k")),
  call("mask all labels", update, masked("a", { labels: { only: "this" } }, "labels")),
  call("mask a label too long", update, masked("a", { labels: tooLongLabel }, "labels"), { differs: longLabel }),
  call("mask the image", update, masked("a", { image: "new" }, "image")),
  call("mask the key", update, masked("b", { snapshotKey: "k2" }, "snapshotkey")),
  call("mask the key by its other name", update, masked("b", { snapshotKey: "k3" }, "snapshot_key")),
  call("mask an extension", update, masked("a", { extensions: { f: emptySpec } }, "extensions.f")),
  call("mask all extensions", update, masked("a", { extensions: { g: emptySpec } }, "extensions")),
  call("mask the runtime", update, masked("a", { runtime: { name: "other" } }, "runtime")),
  call("mask the options", update, masked("a", { runtime: { name: "", options: emptySpec } }, "runtime.options")),
  call("mask the spec away", update, masked("a", {}, "spec")),
  call("mask the snapshotter", update, masked("b", { snapshotter: "native" }, "snapshotter")),
  call("mask the id", update, masked("a", {}, "id")),
  call("mask the time", update, masked("a", {}, "updated_at")),
  call("mask nothing by name", update, masked("a", { image: "x" }, "")),
  call("mask a good and a bad one", update, masked("a", { image: "x" }, "image", "nope")),
  call("get after all masks", get, { id: "a" }, { differs: extensionsReplaced("e", "f") }),
  call("mask a label without a key", update, masked("a", { labels: { "": "x" } }, "labels")),
  call("replace with another runtime", update, one("a", { runtime: { name: "other" } })),
  call("replace without a runtime", update, { container: { id: "a", spec: emptySpec } }),
  call("replace without a spec", update, { container: { id: "a", runtime } }),
  call("replace with another snapshotter", update, one("b", { snapshotter: "native" })),
  call("replace without the key", update, one("b", { snapshotter: "overlayfs" })),
  call("replace", update, one("a", { image: "r", labels: { only: "that" }, extensions: { h: emptySpec } })),
  call("get after all", get, { id: "a" }, { differs: extensionsReplaced("e", "f", "g") }),
  call("the other after all", get, { id: "b" }),
]);

export const containerScenarios: readonly Scenario[] = [creations, filters, updates];
