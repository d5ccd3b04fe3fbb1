import type { MessageInitShape } from "@bufbuild/protobuf";
import { type ImageSchema, Images } from "../../../src/gen/containerd/services/images/v1/images_pb.ts";
import { deleteOfTarget, longLabel, targetNames } from "../differences.ts";
import { call, type Scenario, type Step, scenario } from "../script.ts";
import { refusedFilter } from "./refused-filter.ts";
import { badFilters, badRegexps, longestLabel, noDigest, target, tooLongLabel } from "./values.ts";

const { get, list, create, update, delete: remove } = Images.method;
type Given = Omit<MessageInitShape<typeof ImageSchema>, "$typeName">;
const one = (name: string, more: Given = {}) => ({ image: { name, target, ...more } });
const masked = (name: string, more: Given, ...paths: readonly string[]) => ({
  image: { name, ...more },
  updateMask: { paths: [...paths] },
});
const listed = (filter: string): Step => call(`list by ${filter}`, list, { filters: [filter] });
const epoch = { seconds: 1_600_000_000n, nanos: 0 };

const creations: Scenario = scenario("images", "creations", [
  call("get of none", get, { name: "none" }),
  call("get without a name", get, { name: "" }),
  call("list of nothing", list, {}),
  call("create", create, one("one", { labels: { a: "1", gone: "" } })),
  call("create again", create, one("one")),
  call("create without a name", create, one("")),
  call("create with a strange name", create, one("no reference/at all: really?")),
  call("create without a target", create, { image: { name: "x" } }, { differs: targetNames }),
  call("create of nothing", create, {}),
  call("create with a bad digest", create, one("x", { target: { ...target, digest: "sha256:x" } }), {
    differs: targetNames,
  }),
  call("create with an unknown algorithm", create, one("x", { target: { ...target, digest: "md5:abc" } }), {
    differs: targetNames,
  }),
  call(
    "create with an upper case digest",
    create,
    one("x", { target: { ...target, digest: `sha256:${"A".repeat(64)}` } }),
    { differs: targetNames },
  ),
  call("create without a digest", create, one("x", { target: { ...target, digest: "" } }), { differs: targetNames }),
  call(
    "create with a sha512 digest",
    create,
    one("big", { target: { ...target, digest: `sha512:${"a".repeat(128)}` } }),
  ),
  call("create without a size", create, one("x", { target: { ...target, size: 0n } }), { differs: targetNames }),
  call("create with a negative size", create, one("x", { target: { ...target, size: -1n } }), { differs: targetNames }),
  call("create without a media type", create, one("x", { target: { ...target, mediaType: "" } }), {
    differs: targetNames,
  }),
  call("create with an unknown media type", create, one("strange", { target: { ...target, mediaType: "text/plain" } })),
  call("create with annotations", create, one("noted", { target: { ...target, annotations: { a: "1" } } })),
  call("create with a long label", create, one("x", { labels: tooLongLabel }), { differs: longLabel }),
  call("create with the longest label", create, one("long", { labels: longestLabel })),
  call("create with times of its own", create, one("times", { createdAt: epoch, updatedAt: epoch })),
  call("get", get, { name: "one" }),
  call("get of annotations", get, { name: "noted" }),
  call("get from another namespace", get, { name: "one" }, { namespace: "elsewhere" }),
  call("list", list, {}),
  call("delete", remove, { name: "one" }),
  call("delete again", remove, { name: "one" }),
  call("delete without a name", remove, { name: "" }),
  call("delete of its target", remove, { name: "long", target }),
  call(
    "delete of another target",
    remove,
    { name: "times", target: { ...target, digest: noDigest } },
    { differs: deleteOfTarget("times", target.digest ?? "", noDigest) },
  ),
  call("create with an empty label key", create, one("keyless", { labels: { "": "x" } })),
]);

const filters: Scenario = scenario("images", "filters", [
  call("one", create, one("docker.io/library/one:latest", { labels: { a: "1" } })),
  call("two", create, one("two", { labels: { b: "2" }, target: { ...target, annotations: { note: "x" } } })),
  ...[
    "name==two",
    "name~=one",
    'name=="docker.io/library/one:latest"',
    "name!=two",
    "name",
    `target.digest==${target.digest ?? ""}`,
    "target.mediatype~=index",
    "target.mediaType~=index",
    "target.size==7",
    "target.annotations.note==x",
    "annotations.note==x",
    "labels.a",
    "labels.a==1,name~=one",
    "id==two",
    ...badFilters.map((filter) => filter.replaceAll("id", "name")),
  ].map(listed),
  ...badRegexps("name").map((filter) => refusedFilter(list, filter, { filters: [filter] }, "twice")),
  call("list by either", list, { filters: ["name==two", "labels.a==1"] }),
  call("list by a bad one beside a good one", list, { filters: ["name==two", "name=="] }),
]);

const updates: Scenario = scenario("images", "updates", [
  call("create", create, one("one", { labels: { a: "1", b: "2" } })),
  call("update of nothing", update, {}),
  call("update without a name", update, one("")),
  call("update of none", update, one("none")),
  call("mask a label", update, masked("one", { labels: { c: "3", d: "4" } }, "labels.c")),
  call("mask a label that is not sent", update, masked("one", {}, "labels.a")),
  call("mask all labels", update, masked("one", { labels: { only: "this" } }, "labels")),
  call("mask the target", update, masked("one", { target: { ...target, size: 9n } }, "target")),
  call("mask a bad target", update, masked("one", { target: { ...target, size: 0n } }, "target"), {
    differs: targetNames,
  }),
  call("mask the target's digest", update, masked("one", { target }, "target.digest")),
  call("mask annotations", update, masked("one", { target: { annotations: { a: "1" } } }, "annotations")),
  call("mask an annotation", update, masked("one", { target: { annotations: { a: "2" } } }, "annotations.a")),
  call("mask the name", update, masked("one", {}, "name")),
  call("mask the time", update, masked("one", {}, "created_at")),
  call("mask a good and a bad one", update, masked("one", { labels: { x: "1" } }, "labels", "nope")),
  call("get after the masks", get, { name: "one" }),
  call("replace", update, one("one", { labels: { new: "1" } })),
  call("replace without a target", update, { image: { name: "one" } }, { differs: targetNames }),
  call("replace with a long label", update, one("one", { labels: tooLongLabel }), { differs: longLabel }),
  call("get after all", get, { name: "one" }),
]);

export const imageScenarios: readonly Scenario[] = [creations, filters, updates];
