import { Images } from "../../../src/gen/containerd/services/images/v1/images_pb.ts";
import { Leases } from "../../../src/gen/containerd/services/leases/v1/leases_pb.ts";
import { call, type Scenario, scenario } from "../script.ts";
import { target } from "./values.ts";

/**
 * Deletions that wait for a collection. They come last: after its first collection containerd looks every second, and
 * collects whatever has no holder by then.
 */
export const collectionScenarios: readonly Scenario[] = [
  scenario("leases", "deletions that wait", [
    call("create", Leases.method.create, { id: "l1" }),
    call("delete and wait", Leases.method.delete, { id: "l1", sync: true }),
    call("list", Leases.method.list, {}),
  ]),
  scenario("images", "deletions that wait", [
    call("create", Images.method.create, { image: { name: "one", target } }),
    call("delete and wait", Images.method.delete, { name: "one", sync: true }),
    call("list", Images.method.list, {}),
  ]),
];
