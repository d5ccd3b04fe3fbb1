import { Snapshots } from "../../../src/gen/containerd/services/snapshots/v1/snapshots_pb.ts";
import {
  cleanup as cleansUp,
  clientsNames,
  commitOf,
  indexOff,
  longLabel,
  snapshotterInEvents,
  unusedSnapshotter,
} from "../differences.ts";
import { call, type Scenario, type Step, scenario } from "../script.ts";
import { refusedFilter } from "./refused-filter.ts";
import { badFilters, badRegexps, rooted, tooLongLabel } from "./values.ts";

const { prepare, view, mounts, commit, remove, stat, update, list, usage, cleanup } = Snapshots.method;
const on = { snapshotter: "overlayfs" };
const told = snapshotterInEvents("overlayfs");
const toldOfNative = snapshotterInEvents("native");
const labelled = { ...on, labels: rooted };
const listed = (filter: string): Step => call(`list by ${filter}`, list, { ...on, filters: [filter] });
const masked = (name: string, labels: Record<string, string>, ...paths: readonly string[]) => ({
  ...on,
  info: { name, labels },
  updateMask: { paths: [...paths] },
});

const absent: Scenario = scenario("snapshots", "what is not there", [
  ...(["", "nope", "../overlayfs", "lighter"] as const).flatMap((snapshotter) => [
    call(`stat on ${snapshotter || "no snapshotter"}`, stat, { snapshotter, key: "none" }),
    call(`prepare on ${snapshotter || "no snapshotter"}`, prepare, { snapshotter, key: "none" }),
    call(`list on ${snapshotter || "no snapshotter"}`, list, { snapshotter }),
    call(`cleanup on ${snapshotter || "no snapshotter"}`, cleanup, { snapshotter }),
  ]),
  call("list of nothing", list, on),
  call("stat of none", stat, { ...on, key: "none" }),
  call("stat without a key", stat, { ...on, key: "" }),
  call("mounts of none", mounts, { ...on, key: "none" }),
  call("usage of none", usage, { ...on, key: "none" }),
  call("remove of none", remove, { ...on, key: "none" }),
  call("remove without a key", remove, { ...on, key: "" }),
  call("commit of none", commit, { ...on, key: "none", name: "x" }, { differs: unusedSnapshotter }),
  call("update of none", update, { ...on, info: { name: "none", labels: { a: "1" } } }),
  call("update of nothing", update, on),
  call("prepare on none", prepare, { ...labelled, key: "a", parent: "none" }),
  call("view of none", view, { ...labelled, key: "a", parent: "none" }),
]);

const lives: Scenario = scenario("snapshots", "lives", [
  call("prepare", prepare, { ...on, key: "a", labels: { ...rooted, a: "1", gone: "" } }, { differs: told }),
  call("prepare again", prepare, { ...labelled, key: "a" }),
  call("prepare on an active one", prepare, { ...labelled, key: "b", parent: "a" }, { differs: clientsNames }),
  call("view of an active one", view, { ...labelled, key: "b", parent: "a" }, { differs: clientsNames }),
  call("prepare with a long label", prepare, { ...on, key: "b", labels: tooLongLabel }, { differs: longLabel }),
  call("stat", stat, { ...on, key: "a" }),
  call("stat from another namespace", stat, { ...on, key: "a" }, { namespace: "elsewhere" }),
  call("mounts", mounts, { ...on, key: "a" }),
  call("usage", usage, { ...on, key: "a" }),
  call("commit without a name", commit, { ...labelled, key: "a", name: "" }),
  call("commit", commit, { ...on, key: "a", name: "base", labels: { ...rooted, b: "2" } }, { differs: told }),
  call("commit again", commit, { ...labelled, key: "a", name: "base" }),
  call("stat of the committed", stat, { ...on, key: "base" }),
  call("mounts of the committed", mounts, { ...on, key: "base" }, { differs: clientsNames }),
  call("usage of the committed", usage, { ...on, key: "base" }),
  call("prepare on it", prepare, { ...labelled, key: "c", parent: "base" }, { differs: [told, indexOff] }),
  call("view of it", view, { ...labelled, key: "v", parent: "base" }),
  call("view of nothing", view, { ...labelled, key: "w" }),
  call("prepare under the committed one's name", prepare, { ...labelled, key: "base" }),
  call("commit of a view", commit, { ...labelled, key: "v", name: "y" }, { differs: [clientsNames, commitOf("v")] }),
  call(
    "commit of a committed one",
    commit,
    { ...labelled, key: "base", name: "y" },
    { differs: [clientsNames, commitOf("base")] },
  ),
  call("commit under a taken name", commit, { ...labelled, key: "c", name: "v" }),
  call("commit on top", commit, { ...labelled, key: "c", name: "top" }, { differs: told }),
  call("prepare with two below", prepare, { ...labelled, key: "d", parent: "top" }, { differs: [told, indexOff] }),
  call("view with two below", view, { ...labelled, key: "x", parent: "top" }, { differs: indexOff }),
  call("a target that is there", prepare, {
    ...on,
    key: "e",
    labels: { ...rooted, "containerd.io/snapshot.ref": "top" },
  }),
  call("a target that is there on another parent", prepare, {
    ...on,
    key: "e",
    parent: "top",
    labels: { ...rooted, "containerd.io/snapshot.ref": "top" },
  }),
  call("remove of a parent", remove, { ...on, key: "top" }),
  call("remove", remove, { ...on, key: "d" }, { differs: told }),
  call("remove again", remove, { ...on, key: "d" }),
  call("remove of a view", remove, { ...on, key: "x" }, { differs: told }),
  call("cleanup", cleanup, on, { differs: cleansUp }),
]);

const records: Scenario = scenario("snapshots", "records", [
  call("prepare", prepare, { ...on, key: "p", labels: { ...rooted, a: "1", gone: "" } }, { differs: told }),
  call("commit", commit, { ...on, key: "p", name: "records-base", labels: rooted }, { differs: told }),
  call(
    "on top",
    prepare,
    { ...on, key: "q", parent: "records-base", labels: { ...rooted, s: "3" } },
    { differs: [told, indexOff] },
  ),
  call("mask a label", update, masked("q", { s: "4", r: "2" }, "labels.s")),
  call("mask a label that is not sent", update, masked("q", {}, "labels.s")),
  call("mask all labels", update, masked("q", { ...rooted, only: "this" }, "labels")),
  call("mask the parent", update, masked("q", {}, "parent")),
  call("mask the name", update, masked("q", {}, "name")),
  call("mask a good and a bad one", update, masked("q", { z: "1" }, "labels.z", "kind")),
  call("a long label", update, { ...on, info: { name: "q", labels: tooLongLabel } }, { differs: longLabel }),
  call("replace labels", update, { ...on, info: { name: "q", labels: { ...rooted, t: "5" } } }),
  call("replace more than labels", update, { ...on, info: { name: "q", parent: "nope", labels: rooted } }),
  call("stat", stat, { ...on, key: "q" }),
  call("update with an empty label key", update, masked("q", { "": "x" }, "labels")),
  call("list", list, on),
  ...[
    "kind==committed",
    "kind==active",
    "parent==records-base",
    "name==q",
    "labels.t==5",
    "name~=^records",
    "key==q",
    ...badFilters.map((filter) => filter.replaceAll("id", "name")),
  ].map(listed),
  ...badRegexps("name").map((filter) => refusedFilter(list, filter, { ...on, filters: [filter] }, "uncoded")),
  call("list by either", list, { ...on, filters: ["name==q", "kind==committed"] }),
  call("prepare with an empty label key", prepare, { ...on, key: "keyless", labels: { "": "x" } }),
  call("prepare without a key", prepare, { ...labelled, key: "" }),
]);

const native = { snapshotter: "native", labels: rooted };
const copies: Scenario = scenario("snapshots", "native", [
  call("prepare", prepare, { ...native, key: "n" }, { differs: toldOfNative }),
  call("mounts", mounts, { ...native, key: "n" }),
  call("commit", commit, { ...native, key: "n", name: "native-base" }, { differs: toldOfNative }),
  call("view", view, { ...native, key: "nv", parent: "native-base" }),
  call("on top", prepare, { ...native, key: "nw", parent: "native-base" }, { differs: toldOfNative }),
  call("usage", usage, { ...native, key: "nw" }),
  call("not on the other", stat, { ...on, key: "nw" }),
  call("list", list, { ...native }),
  call("cleanup", cleanup, { ...native }, { differs: cleansUp }),
]);

export const snapshotScenarios: readonly Scenario[] = [absent, lives, records, copies];
