import { Introspection } from "../../../src/gen/containerd/services/introspection/v1/introspection_pb.ts";
import { capabilities, nativeRoot, pluginFilters, requires, serverPid } from "../differences.ts";
import { call, type Scenario, scenario } from "../script.ts";
import { badFilters } from "./values.ts";

const snapshotterNeeds = ["metadata", "event", "lease", "service"];
const { plugins, server } = Introspection.method;
/** 1.6 knows of none; what there are of a machine's, `test/e2e/runtime-info.test.ts` tells. */
const machines = ["deprecations"];
const named = (type: string, id: string) => ({ filters: [`type==io.containerd.${type}.v1,id==${id}`] });

export const introspectionScenarios: readonly Scenario[] = [
  scenario("introspection", "the server and its plugins", [
    call("server", server, {}, { differs: serverPid, vague: machines }),
    call("server without a namespace", server, {}, { namespace: null, differs: serverPid, vague: machines }),
    call("snapshotter", plugins, named("snapshotter", "overlayfs"), {
      differs: [capabilities, requires("", snapshotterNeeds)],
    }),
    call("another snapshotter", plugins, named("snapshotter", "native"), {
      differs: [nativeRoot, requires("", snapshotterNeeds)],
    }),
    call("content", plugins, named("content", "content"), { differs: requires("", snapshotterNeeds) }),
    call("collector", plugins, named("gc", "scheduler"), {
      differs: requires("metadata", ["metadata", "event", "content", "snapshotter", "mount-manager"]),
    }),
    call("runtime", plugins, named("runtime", "task")),
    call("differ", plugins, named("differ", "walking"), {
      differs: requires("metadata", ["service", "mount-manager"]),
    }),
    ...["containers", "content", "diff", "events", "healthcheck", "namespaces", "snapshots"].map((id) =>
      call(`service ${id}`, plugins, named("grpc", id)),
    ),
    ...["tasks", "version", "introspection"].map((id) => call(`service ${id}`, plugins, named("grpc", id))),
    call("service images", plugins, named("grpc", "images"), {
      differs: requires("service", ["service", "gc", "image-verifier"]),
    }),
    call("service leases", plugins, named("grpc", "leases"), { differs: requires("service", ["lease", "gc"]) }),
    call("none", plugins, named("grpc", "nope")),
    call("by a type alone that is not there", plugins, { filters: ["type==io.containerd.nope.v1"] }),
    call("by a field that is not there", plugins, { filters: ["capabilities==x"] }),
    call("by a name in quotes", plugins, { filters: ["id=='a'"] }),
    ...badFilters
      .filter((filter) => !filter.includes("'"))
      .map((filter) => call(`by ${filter}`, plugins, { filters: [filter] }, { differs: pluginFilters })),
  ]),
];
