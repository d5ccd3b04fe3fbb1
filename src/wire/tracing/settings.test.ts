import { describe, expect, test } from "bun:test";
import { isFault } from "../../lib/faults.ts";
import { type Environment, type TracingConfig, tracingSettings } from "./settings.ts";

const none: TracingConfig = { endpoint: "", protocol: "", insecure: false, service_name: "", sampling_ratio: 0 };
const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: "http://collector:4318" };
const http = (url?: string): object => ({ exporter: { protocol: "http/protobuf", url } });
const always = { kind: "always_on", followsParent: true, ratio: 1 };

describe("tracingSettings", () => {
  test.each<[what: string, env: Environment, config: Partial<TracingConfig>, want: object | string]>([
    ["nothing", {}, {}, "tracing endpoint not configured"],
    [
      "an endpoint",
      endpoint,
      {},
      { serviceName: "containerd", exporter: { protocol: "http/protobuf", url: undefined }, sampler: always },
    ],
    ["one for traces", { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: "http://c" }, {}, http()],
    ["the exporter alone", { OTEL_TRACES_EXPORTER: "otlp" }, {}, http()],
    [
      "the SDK switched off",
      { ...endpoint, OTEL_SDK_DISABLED: "true" },
      {},
      "tracing disabled by env OTEL_SDK_DISABLED",
    ],
    ["no exporter", { ...endpoint, OTEL_TRACES_EXPORTER: "none" }, {}, "tracing disabled by env OTEL_TRACES_EXPORTER"],
    ["the configuration", {}, { endpoint: "http://c:1/x/" }, http("http://c:1/x/v1/traces")],
    ["a host alone in it", {}, { endpoint: "c:4318" }, http("http://c:4318/v1/traces")],
    [
      "both",
      endpoint,
      { endpoint: "http://other", protocol: "grpc", service_name: "me" },
      { serviceName: "me", ...http() },
    ],
    ["a name", { ...endpoint, OTEL_SERVICE_NAME: "x" }, { service_name: "me" }, { serviceName: "x" }],
    [
      "gRPC",
      { ...endpoint, OTEL_EXPORTER_OTLP_PROTOCOL: "grpc" },
      {},
      { exporter: { protocol: "grpc", target: { place: { host: "collector", port: 4318 }, tls: undefined } } },
    ],
    [
      "gRPC for traces alone",
      { ...endpoint, OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: "grpc", OTEL_EXPORTER_OTLP_PROTOCOL: "http/protobuf" },
      {},
      { exporter: { protocol: "grpc" } },
    ],
    [
      "gRPC by the configuration",
      {},
      { endpoint: "c:4317", protocol: "grpc", insecure: true },
      { exporter: { protocol: "grpc", target: { place: { host: "c", port: 4317 }, tls: undefined } } },
    ],
    [
      "a ratio",
      endpoint,
      { sampling_ratio: 0.5 },
      { sampler: { kind: "traceidratio", followsParent: true, ratio: 0.5 } },
    ],
    [
      "a sampler",
      { ...endpoint, OTEL_TRACES_SAMPLER: "traceidratio", OTEL_TRACES_SAMPLER_ARG: "0.25" },
      { sampling_ratio: 0.5 },
      { sampler: { kind: "traceidratio", followsParent: false, ratio: 0.25 } },
    ],
    [
      "one that follows",
      { ...endpoint, OTEL_TRACES_SAMPLER: "parentbased_always_off" },
      {},
      { sampler: { kind: "always_off", followsParent: true, ratio: 1 } },
    ],
  ])("reads %s", (_what, env, config, want) => {
    const got = tracingSettings(env, { ...none, ...config });
    if (typeof want === "string") expect(got).toBe(want);
    else expect(got).toMatchObject(want);
  });

  test.each<[env: Environment, config: Partial<TracingConfig>, kind: Parameters<typeof isFault>[1], text: string]>([
    [{ ...endpoint, OTEL_TRACES_EXPORTER: "jaeger" }, {}, "invalidArgument", 'unsupported traces exporter "jaeger"'],
    [
      { ...endpoint, OTEL_EXPORTER_OTLP_PROTOCOL: "http/json" },
      {},
      "notImplemented",
      '"http/json"; http/protobuf and grpc are what there is',
    ],
    [{}, { endpoint: "http://c", protocol: "udp" }, "notImplemented", '"udp"'],
    [{ ...endpoint, OTEL_TRACES_SAMPLER: "often" }, {}, "invalidArgument", 'unknown sampler "often"'],
    [
      { ...endpoint, OTEL_TRACES_SAMPLER: "traceidratio", OTEL_TRACES_SAMPLER_ARG: "2" },
      {},
      "invalidArgument",
      "not between",
    ],
    [{}, { endpoint: "http://" }, "invalidArgument", "is no URL"],
  ])("refuses %j with %j", (env, config, kind, text) => {
    try {
      tracingSettings(env, { ...none, ...config });
    } catch (error) {
      expect([isFault(error, kind), String(error)]).toEqual([true, expect.stringContaining(text)]);
      return;
    }
    throw new Error("it was taken");
  });
});
