import { Containers } from "../../../src/gen/containerd/services/containers/v1/containers_pb.ts";
import { Content } from "../../../src/gen/containerd/services/content/v1/content_pb.ts";
import { Events } from "../../../src/gen/containerd/services/events/v1/events_pb.ts";
import { Images } from "../../../src/gen/containerd/services/images/v1/images_pb.ts";
import { Leases } from "../../../src/gen/containerd/services/leases/v1/leases_pb.ts";
import { Snapshots } from "../../../src/gen/containerd/services/snapshots/v1/snapshots_pb.ts";
import { Tasks } from "../../../src/gen/containerd/services/tasks/v1/tasks_pb.ts";
import { badUtf8, cardinality, deadlineAtOnce, malformedMethod, toldWhy, undecodable } from "../differences.ts";
import { bareCall, call, type Scenario, type Step, type StepOptions, scenario } from "../script.ts";
import { bytes } from "./values.ts";

const version = "/containerd.services.version.v1.Version";
const list = "/containerd.services.containers.v1.Containers/List";
const listStream = `${list}Stream`;
const get = Containers.method.get;
const empty = [new Uint8Array()];

const paths: Scenario = scenario("wire", "paths", [
  ...[
    "/nowhere.Nothing/Do",
    `${version}/Nothing`,
    `${version}/version`,
    `${version}/`,
    "//",
    "/a/b/c",
    "/containerd.services.sandbox.v1.Nothing/Create",
  ].map((path) => bareCall(`a call of ${path}`, path, empty)),
  ...["/Version", "/"].map((path) => bareCall(`a call of ${path}`, path, empty, { differs: malformedMethod })),
]);

const limit = 16 * 1024 * 1024;
const messages: Scenario = scenario("wire", "messages", [
  bareCall("no message", list, []),
  bareCall("two messages", list, [...empty, ...empty]),
  bareCall("a message that is none", list, [bytes("\u0007nonsense")], {
    differs: undecodable(
      "proto: ListContainersRequest: illegal tag 0 (wire type 7)",
      "illegal tag: field no 0 wire type 7",
    ),
  }),
  bareCall("a field that is not known", list, [new Uint8Array([0xf8, 0x07, 0x01])]),
  bareCall(
    "a string that is not UTF-8",
    "/containerd.services.containers.v1.Containers/Get",
    [new Uint8Array([0x0a, 0x02, 0xc3, 0x28])],
    {
      differs: badUtf8("INTERNAL grpc: error unmarshalling request: The encoded data was not valid for encoding utf-8"),
    },
  ),
  bareCall("a field of the wrong kind", list, [new Uint8Array([0x08, 0x01])], {
    differs: undecodable("proto: wrong wireType = 0 for field Filters", "premature EOF"),
  }),
  bareCall("no message for a stream", listStream, [], {
    differs: cardinality("received no request message from non-client-streaming RPC"),
  }),
  bareCall("two messages for a stream", listStream, [...empty, ...empty], {
    differs: cardinality("received multiple request messages for non-client-streaming RPC"),
  }),
  bareCall("a message that is too large", list, [new Uint8Array(limit + 1)]),
  call("an id of a mebibyte", get, { id: "x".repeat(1024 * 1024) }),
]);

const field = (...fields: readonly string[]): StepOptions => ({ namespace: null, fields });
const metadata: Scenario = scenario("wire", "metadata", [
  call("two namespaces", get, { id: "a" }, field("containerd-namespace", "one", "containerd-namespace", "two")),
  call(
    "two namespaces, the first bad",
    get,
    { id: "a" },
    field("containerd-namespace", "a/b", "containerd-namespace", "c"),
  ),
  call("an empty namespace", get, { id: "a" }, { namespace: "" }),
  call("a long namespace", get, { id: "a" }, { namespace: "n".repeat(77) }),
  call("the longest namespace", get, { id: "a" }, { namespace: "n".repeat(76) }),
  call("a namespace with a comma", get, { id: "a" }, { namespace: "one,two" }),
  call("two leases", get, { id: "a" }, { fields: ["containerd-lease", "l1", "containerd-lease", "l2"] }),
  call("metadata of no meaning", get, { id: "a" }, { fields: ["x-a", "1", "x-a", "2", "x-bin", "AAE"] }),
  call("another content type", get, { id: "a" }, { fields: ["content-type", "application/grpc+proto"] }),
  call("an unknown codec", get, { id: "a" }, { fields: ["content-type", "application/grpc+cbor"] }),
  call(
    "a content type that is not gRPC's",
    get,
    { id: "a" },
    {
      fields: ["content-type", "application/json"],
      differs: toldWhy('INVALID_ARGUMENT invalid gRPC request content-type "application/json"'),
    },
  ),
  call("an unknown compression", get, { id: "a" }, { fields: ["grpc-encoding", "br"] }),
]);

const deadlines: Scenario = scenario("wire", "deadlines", [
  call("long enough", get, { id: "a" }, { timeout: "10S" }),
  call("an hour", get, { id: "a" }, { timeout: "1H" }),
  call(
    "without a unit",
    get,
    { id: "a" },
    {
      timeout: "10",
      differs: toldWhy('INTERNAL malformed grpc-timeout: transport: timeout unit is not recognized: "10"'),
    },
  ),
  call(
    "of no number",
    get,
    { id: "a" },
    {
      timeout: "xS",
      differs: toldWhy('INTERNAL malformed grpc-timeout: strconv.ParseUint: parsing "x": invalid syntax'),
    },
  ),
  call(
    "of too many digits",
    get,
    { id: "a" },
    {
      timeout: "123456789S",
      differs: toldWhy('INTERNAL malformed grpc-timeout: transport: timeout string is too long: "123456789S"'),
    },
  ),
  // Long enough for a busy machine to take the call.
  call("of a stream", Events.method.subscribe, {}, { timeout: "200m", differs: deadlineAtOnce }),
]);

const services = [Containers, Content, Images, Leases, Snapshots, Tasks] as const;
/**
 * Every method of the services that work in a namespace, asked in none and in a bad one. Diff is left out: 1.6 ends
 * when it is asked for nothing.
 */
const everyMethod = (what: string, options: StepOptions): readonly Scenario[] =>
  services.map((service) => {
    const steps: readonly Step[] = service.methods.map((method) =>
      bareCall(method.name, `/${service.typeName}/${method.name}`, empty, options),
    );
    return scenario(service.typeName.split(".")[2] ?? "", `every method ${what}`, steps);
  });

export const wireScenarios: readonly Scenario[] = [
  paths,
  messages,
  metadata,
  deadlines,
  ...everyMethod("in no namespace", { namespace: null }),
  ...everyMethod("in a bad namespace", { namespace: "a/b" }),
];
