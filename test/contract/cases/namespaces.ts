import { Containers } from "../../../src/gen/containerd/services/containers/v1/containers_pb.ts";
import { Content } from "../../../src/gen/containerd/services/content/v1/content_pb.ts";
import { Images } from "../../../src/gen/containerd/services/images/v1/images_pb.ts";
import { Leases } from "../../../src/gen/containerd/services/leases/v1/leases_pb.ts";
import { Namespaces } from "../../../src/gen/containerd/services/namespaces/v1/namespace_pb.ts";
import { Snapshots } from "../../../src/gen/containerd/services/snapshots/v1/snapshots_pb.ts";
import {
  checkedNamespace,
  longLabel,
  namespaceEvents,
  namespaceUnmade,
  noAnswer,
  snapshotterInEvents,
} from "../differences.ts";
import { call, type Scenario, scenario } from "../script.ts";
import { emptySpec, longestLabel, rooted, target, tooLongLabel } from "./values.ts";

const { get, create, list, update, delete: remove } = Namespaces.method;
const named = (name: string, labels: Record<string, string> = {}) => ({ namespace: { name, labels } });
const masked = (name: string, labels: Record<string, string>, ...paths: readonly string[]) => ({
  ...named(name, labels),
  updateMask: { paths: [...paths] },
});

const records: Scenario = scenario("namespaces", "records", [
  call("list of nothing of ours", list, {}),
  call("get of none", get, { name: "nowhere" }),
  call("get without a name", get, { name: "" }),
  call("get with a bad name", get, { name: "a/b" }),
  call("create", create, named("one", { a: "1", b: "2", gone: "" }), { differs: namespaceEvents("one") }),
  call("create again", create, named("one")),
  call("create without a name", create, named("")),
  call("create with a bad name", create, named("a/b")),
  call("create with a dash at its end", create, named("a-")),
  call("create with two dots", create, named("a..b")),
  call("create with another alphabet's letters", create, named("naïve")),
  call("create with a long name", create, named("a".repeat(77))),
  call("create with the longest name", create, named("a".repeat(76)), { differs: namespaceEvents("a".repeat(76)) }),
  call("create with a long label", create, named("two", tooLongLabel), { differs: longLabel }),
  call("create with the longest label", create, named("two", longestLabel), { differs: namespaceEvents("two") }),
  call("create with an empty key", create, named("three", { "": "x" })),
  call("get", get, { name: "one" }),
  call("list", list, {}),
]);

const updates: Scenario = scenario("namespaces", "updates", [
  call("create", create, named("up", { a: "1", b: "2" }), { differs: namespaceEvents("up") }),
  call("mask a label", update, masked("up", { a: "9", z: "1" }, "labels.a"), {
    differs: [noAnswer, namespaceEvents("up")],
  }),
  call("get after the mask", get, { name: "up" }),
  call("mask a label that is not sent", update, masked("up", {}, "labels.a"), {
    differs: [noAnswer, namespaceEvents("up")],
  }),
  call("get after emptying", get, { name: "up" }),
  call("mask two, one of them unknown", update, masked("up", { c: "1" }, "labels.c", "name")),
  call("get after what failed", get, { name: "up" }),
  call("mask all labels", update, masked("up", { c: "1" }, "labels")),
  call("mask with a dotted key", update, masked("up", { "a.b/c": "1" }, "labels.a.b/c"), {
    differs: [noAnswer, namespaceEvents("up")],
  }),
  call("mask a long label", update, masked("up", tooLongLabel, "labels.k"), { differs: longLabel }),
  call("replace", update, named("up", { z: "26" }), { differs: [noAnswer, namespaceEvents("up")] }),
  call("get after replacing", get, { name: "up" }),
  call("replace with nothing", update, named("up"), { differs: [noAnswer, namespaceEvents("up")] }),
  call("update of none makes it", update, named("made", { q: "1" }), { differs: [noAnswer, namespaceEvents("made")] }),
  call("get of the made one", get, { name: "made" }),
  call("update of none without labels", update, named("unmade"), { differs: [noAnswer, namespaceEvents("unmade")] }),
  call("get of the unmade one", get, { name: "unmade" }),
  call("update without a name", update, named("", { q: "1" })),
  call("update with a bad name", update, named("a/b", { q: "1" }), { differs: checkedNamespace("a/b") }),
  call("update with an empty key", update, named("up", { "": "1" })),
  call("update with a long label", update, named("up", tooLongLabel), { differs: longLabel }),
]);

const removals: Scenario = scenario("namespaces", "removals", [
  call("delete of none", remove, { name: "nowhere" }),
  call("delete without a name", remove, { name: "" }),
  call("delete with a bad name", remove, { name: "c/d" }),
  call("delete of an empty one", remove, { name: "made" }),
  call("delete again", remove, { name: "made" }),
  call("an image", Images.method.create, { image: { name: "i", target } }, { namespace: "full" }),
  call("with an image", remove, { name: "full" }),
  call(
    "a container",
    Containers.method.create,
    { container: { id: "c", spec: emptySpec, runtime: { name: "io.containerd.runc.v2" } } },
    { namespace: "full" },
  ),
  call("with an image and a container", remove, { name: "full" }),
  call(
    "a snapshot",
    Snapshots.method.prepare,
    { snapshotter: "native", key: "k", labels: rooted },
    { namespace: "full", differs: snapshotterInEvents("native") },
  ),
  call("with a snapshot too", remove, { name: "full" }),
  call("the image goes", Images.method.delete, { name: "i" }, { namespace: "full" }),
  call("the container goes", Containers.method.delete, { id: "c" }, { namespace: "full" }),
  call("with a snapshot alone", remove, { name: "full" }),
  call(
    "the snapshot goes",
    Snapshots.method.remove,
    { snapshotter: "native", key: "k" },
    {
      namespace: "full",
      differs: snapshotterInEvents("native"),
    },
  ),
  call("a lease", Leases.method.create, { id: "l" }, { namespace: "full" }),
  call("with a lease", remove, { name: "full" }),
  call("content is listed in none", Content.method.listStatuses, {}, { namespace: "full" }),
  call("list after it", list, {}, { differs: namespaceUnmade }),
]);

export const namespaceScenarios: readonly Scenario[] = [records, updates, removals];
