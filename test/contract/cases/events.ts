import type { MessageInitShape } from "@bufbuild/protobuf";
import { Events } from "../../../src/gen/containerd/services/events/v1/events_pb.ts";
import type { EnvelopeSchema } from "../../../src/gen/containerd/types/event_pb.ts";
import { anyOfJson } from "../../../src/wire/any.ts";
import { deadlineAtOnce } from "../differences.ts";
import { call, type Scenario, type Step, type StepOptions, scenario } from "../script.ts";
import { refusedFilter } from "./refused-filter.ts";
import { badFilters, badRegexps } from "./values.ts";

const { publish, forward, subscribe } = Events.method;
const event = anyOfJson("types.example/Event", { a: 1 });
const timestamp = { seconds: 1n, nanos: 0 };
type Given = Omit<MessageInitShape<typeof EnvelopeSchema>, "$typeName">;
const envelope = (more: Given) => ({ envelope: { topic: "/a", namespace: "x", timestamp, event, ...more } });
const published = (topic: string): Step => call(`publish to ${topic || "nothing"}`, publish, { topic, event });
const heardBy = (filters: readonly string[], options: StepOptions = {}): Step =>
  call(`subscribe by ${filters.join(" or ") || "nothing"}`, subscribe, { filters: [...filters] }, options);
/** Long enough for a busy machine to take the call: what comes too late is answered by nobody. */
const soon = { timeout: "200m", differs: deadlineAtOnce };

export const eventScenarios: readonly Scenario[] = [
  scenario("events", "publishing", [
    ...["/a", "/a/b", "/a-b/c.d/e_f", "", "a", "/", "//", "/a/", "/a//b", "/a/../b", "/a b", "/ü"].map(published),
    call("publish in no namespace", publish, { topic: "/a/b", event }, { namespace: null }),
    call("publish in a bad namespace", publish, { topic: "/a/b", event }, { namespace: "a/b" }),
    call("publish an empty event", publish, { topic: "/a/b", event: { typeUrl: "", value: new Uint8Array() } }),
  ]),
  scenario("events", "forwarding", [
    call("forward", forward, envelope({})),
    call("forward in no namespace of the caller's", forward, envelope({}), { namespace: null }),
    call("forward from nowhere", forward, envelope({ namespace: "" })),
    call("forward from a bad namespace", forward, envelope({ namespace: "a/b" })),
    call("forward to a bad topic", forward, envelope({ topic: "a" })),
    call("forward to no topic", forward, envelope({ topic: "" })),
    call("forward without a time", forward, { envelope: { topic: "/a", namespace: "x", event } }),
    call("forward at the epoch", forward, envelope({ timestamp: { seconds: 0n, nanos: 0 } })),
  ]),
  scenario("events", "subscriptions", [
    heardBy([], soon),
    heardBy(['topic=="/a"'], soon),
    heardBy(["namespace==x", "event.id==y"], soon),
    heardBy(["topic==/a"]),
    heardBy(["topic=='a'"], soon),
    ...badFilters
      .filter((filter) => !filter.includes("'"))
      .map((filter) => heardBy([filter.replaceAll("id", "topic")])),
    ...badRegexps("topic").map((filter) => refusedFilter(subscribe, filter, { filters: [filter] }, "subscription")),
    heardBy(['topic=="/nothing"'], { leave: { afterMs: 20 } }),
  ]),
];
