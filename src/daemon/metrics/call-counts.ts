import type { DescMethod } from "@bufbuild/protobuf";
import { Durations, durationBounds } from "../../lib/durations.ts";
import type { CallObserver } from "../../wire/grpc/index.ts";
import type { ServiceDefinition } from "../../wire/service.ts";
import { type Family, histogramSamples, type Sample } from "./exposition.ts";

/** gRPC's codes by number, as Go's clients of Prometheus spell them. Source: grpc-go codes/code_string.go. */
const codeNames = [
  "OK",
  "Canceled",
  "Unknown",
  "InvalidArgument",
  "DeadlineExceeded",
  "NotFound",
  "AlreadyExists",
  "PermissionDenied",
  "ResourceExhausted",
  "FailedPrecondition",
  "Aborted",
  "OutOfRange",
  "Unimplemented",
  "Internal",
  "Unavailable",
  "DataLoss",
  "Unauthenticated",
] as const;

const typeNames: Readonly<Record<DescMethod["methodKind"], string>> = {
  unary: "unary",
  client_streaming: "client_stream",
  server_streaming: "server_stream",
  bidi_streaming: "bidi_stream",
};

/** What is counted of one method. */
class MethodCounts {
  readonly labels: Sample["labels"];
  started = 0;
  received = 0;
  sent = 0;
  readonly handled: Float64Array = new Float64Array(codeNames.length);
  readonly times: Durations | undefined;

  constructor(method: DescMethod, withTimes: boolean) {
    this.labels = [
      ["grpc_type", typeNames[method.methodKind]],
      ["grpc_service", method.parent.typeName],
      ["grpc_method", method.name],
    ];
    this.times = withTimes ? new Durations() : undefined;
  }
}

/**
 * Counts calls under the names of go-grpc-prometheus, as containerd does; a method that nobody called is there with zeros.
 * Shape: numbers in arrays, since a call takes a few microseconds and a label of a registry's half of one.
 * Source: go-grpc-middleware providers/prometheus/server_metrics.go.
 */
export class CallCounts implements CallObserver {
  readonly #methods = new Map<DescMethod, MethodCounts>();
  readonly #withTimes: boolean;

  constructor(withTimes: boolean) {
    this.#withTimes = withTimes;
  }

  /** Takes in the methods of what is served. */
  add(services: readonly ServiceDefinition[]): void {
    for (const { desc } of services) for (const method of desc.methods) this.#of(method);
  }

  begin({ method }: { readonly method: DescMethod }): ReturnType<CallObserver["begin"]> {
    const counts = this.#of(method);
    counts.started++;
    const began = counts.times === undefined ? 0 : performance.now();
    return {
      received: () => {
        counts.received++;
      },
      sent: () => {
        counts.sent++;
      },
      ended: (code) => {
        counts.handled[code]! += 1;
        counts.times?.add((performance.now() - began) / 1000);
      },
    };
  }

  families(): readonly Family[] {
    const all = [...this.#methods.values()];
    const counter = (name: string, help: string, samples: (of: MethodCounts) => readonly Sample[]): Family => ({
      name,
      help,
      type: "counter",
      *samples() {
        for (const of of all) yield* samples(of);
      },
    });
    const single =
      (value: (of: MethodCounts) => number) =>
      (of: MethodCounts): readonly Sample[] => [{ labels: of.labels, value: value(of) }];
    return [
      counter(
        "grpc_server_started_total",
        "Calls that were begun.",
        single((of) => of.started),
      ),
      counter("grpc_server_handled_total", "Calls that ended, by their status.", ({ labels, handled }) =>
        codeNames.map((name, code) => ({ labels: [...labels, ["grpc_code", name]], value: handled[code]! })),
      ),
      counter(
        "grpc_server_msg_received_total",
        "Messages that calls brought.",
        single((of) => of.received),
      ),
      counter(
        "grpc_server_msg_sent_total",
        "Messages that were answered.",
        single((of) => of.sent),
      ),
      ...(this.#withTimes ? [timesFamily(all)] : []),
    ];
  }

  #of(method: DescMethod): MethodCounts {
    const known = this.#methods.get(method);
    if (known !== undefined) return known;
    const counts = new MethodCounts(method, this.#withTimes);
    this.#methods.set(method, counts);
    return counts;
  }
}

function timesFamily(all: readonly MethodCounts[]): Family {
  return {
    name: "grpc_server_handling_seconds",
    help: "How long calls took that were begun, in seconds.",
    type: "histogram",
    *samples() {
      for (const { labels, times } of all)
        if (times !== undefined) yield* histogramSamples(labels, durationBounds, times.counts, times.sum);
    },
  };
}
