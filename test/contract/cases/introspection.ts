import { Introspection } from "../../../src/gen/containerd/services/introspection/v1/introspection_pb.ts";
import { call, type Scenario, scenario } from "../script.ts";
import { badFilters } from "./values.ts";

const { plugins, server, pluginInfo } = Introspection.method;
const named = (type: string, id: string) => ({ filters: [`type==io.containerd.${type}.v1,id==${id}`] });

export const introspectionScenarios: readonly Scenario[] = [
  scenario("introspection", "the server and its plugins", [
    call("server", server, {}),
    call("server without a namespace", server, {}, { namespace: null }),
    call("snapshotter", plugins, named("snapshotter", "overlayfs")),
    call("another snapshotter", plugins, named("snapshotter", "native")),
    call("content", plugins, named("content", "content")),
    call("collector", plugins, named("gc", "scheduler")),
    call("runtime", plugins, named("runtime", "task")),
    call("differ", plugins, named("differ", "walking")),
    ...["containers", "content", "diff", "events", "healthcheck", "images", "leases", "namespaces", "snapshots"].map(
      (id) => call(`service ${id}`, plugins, named("grpc", id)),
    ),
    ...["tasks", "version", "introspection"].map((id) => call(`service ${id}`, plugins, named("grpc", id))),
    call("none", plugins, named("grpc", "nope")),
    call("by a type alone that is not there", plugins, { filters: ["type==io.containerd.nope.v1"] }),
    call("by a field that is not there", plugins, { filters: ["capabilities==x"] }),
    ...badFilters.map((filter) => call(`by ${filter}`, plugins, { filters: [filter] })),
    call("more of a plugin", pluginInfo, { type: "io.containerd.snapshotter.v1", id: "overlayfs" }),
    call("more of none", pluginInfo, { type: "io.containerd.snapshotter.v1", id: "nope" }),
  ]),
];
