import { Content } from "../../../src/gen/containerd/services/content/v1/content_pb.ts";
import { Leases } from "../../../src/gen/containerd/services/leases/v1/leases_pb.ts";
import { Snapshots } from "../../../src/gen/containerd/services/snapshots/v1/snapshots_pb.ts";
import { answeredOnce, snapshotterInEvents } from "../differences.ts";
import { call, type Scenario, type Step, scenario } from "../script.ts";
import { refusedFilter } from "./refused-filter.ts";
import { badFilters, badRegexps, noDigest, tooLongLabel } from "./values.ts";

const { create, delete: remove, list, addResource, deleteResource, listResources } = Leases.method;
const listed = (filter: string): Step => call(`list by ${filter}`, list, { filters: [filter] });
const held = (type: string, id: string, lease = "l1") => ({ id: lease, resource: { type, id } });
const content = held("content", noDigest);

const records: Scenario = scenario("leases", "records", [
  call("list of nothing", list, {}),
  call("create", create, { id: "l1", labels: { a: "1", gone: "" } }),
  call("create again", create, { id: "l1" }),
  call("create with a strange id", create, { id: "a b/../c" }),
  call("create with a long id", create, { id: "l".repeat(77) }),
  call("create with a long label", create, { id: "long", labels: tooLongLabel }),
  call("create a second", create, { id: "l2", labels: { "containerd.io/gc.expire": "2040-01-01T00:00:00Z" } }),
  call("create with an expiry that is no time", create, { id: "l3", labels: { "containerd.io/gc.expire": "soon" } }),
  call("list", list, {}),
  ...["labels.a==1", "id==l2", "id~=^l", "labels.gone", "nothing==1", ...badFilters].map(listed),
  ...badRegexps("id").map((filter) => refusedFilter(list, filter, { filters: [filter] }, "twice")),
  call("delete of none", remove, { id: "none" }),
  call("delete without an id", remove, { id: "" }),
  call("delete", remove, { id: "l1" }),
  call("delete again", remove, { id: "l1" }),
  call("create without an id", create, { id: "" }, { vague: ["id"] }),
  call("create with an empty label key", create, { id: "keyless", labels: { "": "x" } }),
]);

const resources: Scenario = scenario("leases", "resources", [
  call("create", create, { id: "l1" }),
  call("resources of nothing", listResources, { id: "l1" }),
  call("add content", addResource, content),
  call("add it again", addResource, content),
  call("add bad content", addResource, held("content", "x")),
  call("add content of an unknown algorithm", addResource, held("content", "md5:abc")),
  call("add content without an id", addResource, held("content", "")),
  call("add deep content", addResource, held("content/x", noDigest)),
  call("add a snapshot", addResource, held("snapshots/overlayfs", "key")),
  call("add a snapshot of an unknown snapshotter", addResource, held("snapshots/nope", "key")),
  call("add a snapshot of no snapshotter", addResource, held("snapshots", "key")),
  call("add a snapshot of an empty snapshotter", addResource, held("snapshots/", "key")),
  call("add a deep snapshot", addResource, held("snapshots/overlayfs/x", "key")),
  call("add a snapshot without a key", addResource, held("snapshots/overlayfs", "")),
  call("add an ingest", addResource, held("ingests", "ref")),
  call("add a deep ingest", addResource, held("ingests/x", "ref")),
  call("add nonsense", addResource, held("nonsense", "x")),
  call("add without a type", addResource, held("", "x")),
  call("add nothing", addResource, { id: "l1" }),
  call("add to none", addResource, held("content", noDigest, "none")),
  call("add to no id", addResource, held("content", noDigest, "")),
  call("resources", listResources, { id: "l1" }),
  call("resources of none", listResources, { id: "none" }),
  call("resources of no id", listResources, { id: "" }),
  call("remove content", deleteResource, content),
  call("remove it again", deleteResource, content),
  call("remove nonsense", deleteResource, held("nonsense", "x")),
  call("remove from none", deleteResource, held("content", noDigest, "none")),
  call("remove a snapshot", deleteResource, held("snapshots/overlayfs", "key")),
  call("remove a snapshot of a snapshotter that has none", deleteResource, held("snapshots/native", "key")),
  call("resources after it", listResources, { id: "l1" }),
]);

const inRequests: Scenario = scenario("leases", "in requests", [
  call("create", create, { id: "held" }),
  call(
    "a snapshot",
    Snapshots.method.prepare,
    { snapshotter: "native", key: "s" },
    { lease: "held", differs: snapshotterInEvents("native") },
  ),
  call("a write begun", Content.method.write, [{ ref: "w", total: 3n }], { lease: "held", differs: answeredOnce }),
  call("resources", listResources, { id: "held" }),
  call(
    "the snapshot is removed",
    Snapshots.method.remove,
    { snapshotter: "native", key: "s" },
    { lease: "held", differs: snapshotterInEvents("native") },
  ),
  call("the write is aborted", Content.method.abort, { ref: "w" }, { lease: "held" }),
  call("resources after it", listResources, { id: "held" }),
  call("a snapshot under none", Snapshots.method.prepare, { snapshotter: "native", key: "t" }, { lease: "none" }),
  call("it is not there", Snapshots.method.stat, { snapshotter: "native", key: "t" }),
  call("a write under none", Content.method.write, [{ ref: "x", total: 3n }], { lease: "none" }),
  call("a read under none", list, {}, { lease: "none" }),
  call("an empty lease", Snapshots.method.prepare, { snapshotter: "native", key: "u" }, { lease: "" }),
]);

export const leaseScenarios: readonly Scenario[] = [records, resources, inRequests];
