import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  Content,
  WriteAction,
  type WriteContentRequestSchema,
} from "../../../src/gen/containerd/services/content/v1/content_pb.ts";
import { answeredOnce, contentCreated, longLabel, updatesListed } from "../differences.ts";
import { call, type Scenario, type Step, type StepOptions, scenario } from "../script.ts";
import { refusedFilter } from "./refused-filter.ts";
import { badFilters, badRegexps, bytes, digestOf, longestLabel, noDigest, rooted, tooLongLabel } from "./values.ts";

const { info, update, list, delete: remove, read, status, listStatuses, write, abort } = Content.method;
const { STAT, WRITE, COMMIT } = WriteAction;
type Message = MessageInitShape<typeof WriteContentRequestSchema>;

const text = "a text of some length";
const size = BigInt(text.length);

/** Everything about some text in one message. */
const put = (ref: string, data: string, more: Message = {}): Message => ({
  action: COMMIT,
  ref,
  data: bytes(data),
  total: BigInt(data.length),
  expected: digestOf(data),
  labels: rooted,
  ...more,
});
/** A write that is refused. */
const refused = (name: string, messages: readonly Message[], options?: StepOptions): Step =>
  call(name, write, messages, options);
/** A write that goes well and is left open. */
const written = (name: string, messages: readonly Message[], options: StepOptions = {}): Step =>
  call(name, write, messages, { ...options, differs: answeredOnce });
/** A write that goes well and makes content of some text. */
const committed = (namespace: string, name: string, data: string, messages: readonly Message[]): Step =>
  call(name, write, messages, { differs: [answeredOnce, contentCreated(namespace, digestOf(data), data.length)] });
const stored = (namespace: string, ref: string, data: string): Step =>
  committed(namespace, `${ref} is stored`, data, [put(ref, data)]);
const listed = (filter: string, options: StepOptions = {}): Step =>
  call(`list by ${filter}`, list, { filters: [filter] }, options);

const absent: Scenario = scenario("content", "what is not there", [
  call("info of none", info, { digest: noDigest }),
  call("info of nonsense", info, { digest: "nonsense" }),
  call("info of nothing", info, { digest: "" }),
  call("info of an unknown algorithm", info, { digest: "md5:d41d8cd98f00b204e9800998ecf8427e" }),
  call("info of a long digest", info, { digest: `${noDigest}0` }),
  call("list of nothing", list, {}),
  call("delete of none", remove, { digest: noDigest }),
  call("delete of nonsense", remove, { digest: "sha256:12" }),
  call("update of none", update, { info: { digest: noDigest, labels: { a: "1" } } }),
  call("update of nonsense", update, { info: { digest: "x" } }),
  call("update of nothing", update, {}),
  call("masked update of none", update, { info: { digest: noDigest }, updateMask: { paths: ["labels.a"] } }),
  call("read of none", read, { digest: noDigest }),
  call("read of nonsense", read, { digest: "x" }),
  call("status of none", status, { ref: "none" }),
  call("status of nothing", status, { ref: "" }),
  call("statuses of nothing", listStatuses, {}),
  call("abort of none", abort, { ref: "none" }),
  call("abort of nothing", abort, { ref: "" }),
]);

const writes: Scenario = scenario("content", "writes", [
  refused("nothing at all", []),
  refused("without a ref", [{ action: STAT }]),
  written("with a bad digest", [{ action: STAT, ref: "r", expected: "sha256:zz" }]),
  written("with a negative total", [{ action: STAT, ref: "neg", total: -1n }]),
  written("with a negative offset", [{ action: WRITE, ref: "neg", offset: -1n, data: bytes("x") }]),
  written("an unknown action", [{ action: 7 as WriteAction, ref: "odd", data: bytes("x") }]),
  written("a session", [
    { action: STAT, ref: "one", total: size },
    { action: WRITE, ref: "one", data: bytes("a text") },
  ]),
  call("status", status, { ref: "one" }),
  call("statuses by ref", listStatuses, { filters: ["ref==one"] }),
  call("statuses by another ref", listStatuses, { filters: ["ref==two"] }),
  call("statuses by nonsense", listStatuses, { filters: ["ref=="] }),
  written("resumed", [{ action: STAT, ref: "one", total: size }]),
  written("resumed with another total", [{ action: STAT, ref: "other", total: size }]),
  written("written again", [{ action: WRITE, ref: "one", total: size, data: bytes("a text") }]),
  refused("a gap", [{ action: WRITE, ref: "one", total: size, offset: 9n, data: bytes("x") }]),
  written("the rest", [{ action: WRITE, ref: "one", total: size, offset: 6n, data: bytes(" of some length") }]),
  written("more than promised", [{ action: WRITE, ref: "one", total: size, offset: size, data: bytes("!") }]),
  written("from the start again", [{ action: WRITE, ref: "one", total: size, offset: 0n, data: bytes(text) }]),
  refused("a wrong size", [
    { action: STAT, ref: "one", total: size },
    { action: COMMIT, ref: "one", offset: size, total: size + 1n },
  ]),
  refused("a wrong digest", [{ action: COMMIT, ref: "one", offset: size, total: size, expected: noDigest }]),
  call("status after those", status, { ref: "one" }),
  committed("content-writes", "commit", text, [
    {
      action: COMMIT,
      ref: "one",
      offset: size,
      total: size,
      expected: digestOf(text),
      labels: { ...rooted, a: "1", gone: "" },
    },
  ]),
  call("status after the commit", status, { ref: "one" }),
  call("info", info, { digest: digestOf(text) }),
  refused("commit of what is there", [{ action: COMMIT, ref: "two", expected: digestOf(text), total: size }]),
  refused("the same without saying so", [
    { action: WRITE, ref: "two", data: bytes(text) },
    { action: COMMIT, ref: "two", offset: size, total: size },
  ]),
  refused("told late", [
    { action: STAT, ref: "three" },
    { action: WRITE, ref: "three", expected: digestOf(text), data: bytes(text) },
  ]),
  written("another ref in one session", [
    { action: STAT, ref: "four" },
    { action: WRITE, ref: "five", data: bytes("x") },
  ]),
  call("statuses after it", listStatuses, {}, { unordered: ["statuses"] }),
  refused("a long label", [put("four", "four", { labels: tooLongLabel })], { differs: longLabel }),
  committed("content-writes", "the longest label", "longest", [put("longest", "longest", { labels: longestLabel })]),
  refused("an empty label key", [put("keyless", "keyless", { labels: { "": "x" } })]),
  committed("content-writes", "an empty blob", "", [put("empty", "")]),
  call("info of the empty blob", info, { digest: digestOf("") }),
  refused("commit of nothing written", [{ action: COMMIT, ref: "void" }]),
  committed("content-writes", "after a commit", "done", [
    put("done", "done"),
    { action: WRITE, ref: "done", data: bytes("more") },
  ]),
  written("labels without a commit", [{ action: WRITE, ref: "six", data: bytes("six"), labels: { a: "1" } }]),
  call("abort", abort, { ref: "four" }),
  call("abort again", abort, { ref: "four" }),
]);

const elsewhere = { namespace: "content-elsewhere" };
const shared: Scenario = scenario("content", "between namespaces", [
  stored("content-between-namespaces", "a", "shared"),
  call("info elsewhere", info, { digest: digestOf("shared") }, elsewhere),
  call("read elsewhere", read, { digest: digestOf("shared") }, elsewhere),
  call("delete elsewhere", remove, { digest: digestOf("shared") }, elsewhere),
  written(
    "taken over with a wrong total",
    [{ action: STAT, ref: "x", total: 5n, expected: digestOf("shared") }],
    elsewhere,
  ),
  call(
    "taken over",
    write,
    [
      { action: STAT, ref: "y", expected: digestOf("shared") },
      { action: COMMIT, ref: "y", expected: digestOf("shared"), labels: { ...rooted, there: "1" } },
    ],
    elsewhere,
  ),
  call("info there", info, { digest: digestOf("shared") }, elsewhere),
  call("info here", info, { digest: digestOf("shared") }),
  written("a ref of the same name", [{ action: WRITE, ref: "z", data: bytes("here") }]),
  written("which is another there", [{ action: WRITE, ref: "z", data: bytes("over there") }], elsewhere),
  call("statuses there", listStatuses, {}, { ...elsewhere, unordered: ["statuses"] }),
  call("deleted here", remove, { digest: digestOf("shared") }),
  call("still there", info, { digest: digestOf("shared") }, elsewhere),
]);

const stretches: readonly (readonly [name: string, offset: bigint, size: bigint])[] = [
  ["all", 0n, 0n],
  ["the end", 15n, 0n],
  ["a stretch", 2n, 4n],
  ["past the end", size + 1n, 0n],
  ["too much", 2n, 100n],
  ["at the end", size, 0n],
  ["at the end, a byte", size, 1n],
  ["before the start", -1n, 0n],
  ["a negative size", 0n, -1n],
  ["just all", 0n, size],
];
const reads: Scenario = scenario("content", "reads", [
  stored("content-reads", "t", text),
  ...stretches.map(([name, offset, length]) =>
    call(`read ${name}`, read, { digest: digestOf(text), offset, size: length }),
  ),
  stored("content-reads", "empty", ""),
  call("read of nothing", read, { digest: digestOf("") }),
]);

/** Two messages of containerd's are one mebibyte each. */
const large = "0123456789abcdef".repeat(160 * 1024);
const largeOne: Scenario = scenario("content", "large", [
  committed("content-large", "a blob of 2.5 MiB", large, [put("large", large)]),
  call("read", read, { digest: digestOf(large) }),
  call("read with a reader who leaves", read, { digest: digestOf(large) }, { leave: { afterAnswers: 1 } }),
  call("read from the middle", read, { digest: digestOf(large), offset: 1_000_000n, size: 1_200_000n }),
]);

const labels: Scenario = scenario("content", "labels", [
  stored("content-labels", "a", "label a"),
  committed("content-labels", "with a label", "label b", [put("b", "label b", { labels: { ...rooted, kind: "b" } })]),
  call("list", list, {}, { differs: updatesListed }),
  ...["labels.kind==b", "labels.kind", `digest==${digestOf("label a")}`, "digest~=^sha256"].map((filter) =>
    listed(filter, { differs: updatesListed }),
  ),
  ...["size==7", "nothing"].map((filter) => listed(filter)),
  ...badRegexps("digest").map((filter) => refusedFilter(list, filter, { filters: [filter] }, "once")),
  ...badFilters.map((filter) => listed(filter.replaceAll("id", "digest"))),
  call("mask a label", update, {
    info: { digest: digestOf("label b"), labels: { kind: "c", x: "1" } },
    updateMask: { paths: ["labels.kind"] },
  }),
  call("mask all labels", update, {
    info: { digest: digestOf("label b"), labels: { ...rooted, only: "this" } },
    updateMask: { paths: ["labels"] },
  }),
  call("mask the size", update, { info: { digest: digestOf("label b") }, updateMask: { paths: ["size"] } }),
  call("mask a good and a bad one", update, {
    info: { digest: digestOf("label b"), labels: { q: "1" } },
    updateMask: { paths: ["labels.q", "nope"] },
  }),
  call(
    "update with a long label",
    update,
    { info: { digest: digestOf("label b"), labels: tooLongLabel } },
    {
      differs: longLabel,
    },
  ),
  call("replace", update, { info: { digest: digestOf("label b"), labels: { ...rooted, y: "2" } } }),
  call("update with an empty label key", update, { info: { digest: digestOf("label b"), labels: { "": "x" } } }),
  call("info after it", info, { digest: digestOf("label b") }),
  call("delete", remove, { digest: digestOf("label b") }),
  call("delete again", remove, { digest: digestOf("label b") }),
]);

export const contentScenarios: readonly Scenario[] = [absent, writes, shared, reads, largeOne, labels];
