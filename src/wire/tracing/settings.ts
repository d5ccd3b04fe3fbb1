import { FaultError, quote } from "../../lib/faults.ts";
import { type GrpcTarget, grpcTarget } from "./grpc-settings.ts";

/** What the environment and the configuration say of tracing. */
export interface TracingSettings {
  readonly serviceName: string;
  readonly exporter: ExporterSettings;
  readonly sampler: SamplerSettings;
}

export type ExporterSettings =
  /** `url` is where to; undefined for what the exporter finds in the environment, or its default. */
  | { readonly protocol: "http/protobuf"; readonly url: string | undefined }
  | { readonly protocol: "grpc"; readonly target: GrpcTarget };

export interface SamplerSettings {
  readonly kind: "always_on" | "always_off" | "traceidratio";
  /** What a caller decided holds for its calls. */
  readonly followsParent: boolean;
  readonly ratio: number;
}

/** The tables of containerd 1.6's `otlp` and `tracing` plugins, which containerd 2 still reads and warns about. */
export interface TracingConfig {
  readonly endpoint: string;
  readonly protocol: string;
  /** Over gRPC: an endpoint without a scheme is one without TLS. */
  readonly insecure: boolean;
  readonly service_name: string;
  readonly sampling_ratio: number;
}

export type Environment = Readonly<Record<string, string | undefined>>;

const prefix = "OTEL_EXPORTER_OTLP_";

/**
 * Whether and how to trace; a text instead says why not. The environment goes before the configuration.
 * Errors: invalidArgument (a value that makes no sense), notImplemented (a protocol that is not here).
 * Source: containerd pkg/tracing/plugin/otlp.go; OpenTelemetry specification, SDK environment variables.
 */
export function tracingSettings(env: Environment, config: TracingConfig): TracingSettings | string {
  if (isTrue(env["OTEL_SDK_DISABLED"])) return "tracing disabled by env OTEL_SDK_DISABLED";
  const exporter = env["OTEL_TRACES_EXPORTER"] ?? "";
  if (exporter === "none") return "tracing disabled by env OTEL_TRACES_EXPORTER";
  if (exporter !== "" && exporter !== "otlp") {
    throw new FaultError("invalidArgument", `unsupported traces exporter ${quote(exporter)}`);
  }
  const isInEnv = isSet(env[`${prefix}ENDPOINT`]) || isSet(env[`${prefix}TRACES_ENDPOINT`]);
  if (!isInEnv && exporter === "" && config.endpoint === "") return "tracing endpoint not configured";
  const protocol = env[`${prefix}TRACES_PROTOCOL`] || env[`${prefix}PROTOCOL`] || (isInEnv ? "" : config.protocol);
  return {
    serviceName: env["OTEL_SERVICE_NAME"] || config.service_name || "containerd",
    exporter: exporterOf(protocol, env, isInEnv ? { endpoint: "", insecure: false } : config),
    sampler: samplerOf(env, config),
  };
}

function isSet(value: string | undefined): boolean {
  return value !== undefined && value !== "";
}

function isTrue(value: string | undefined): boolean {
  return /^(?:1|t|true)$/i.test(value ?? "");
}

/** Source: containerd pkg/tracing/plugin/otlp.go, newExporter, for the default. */
function exporterOf(
  protocol: string,
  env: Environment,
  given: Pick<TracingConfig, "endpoint" | "insecure">,
): ExporterSettings {
  switch (protocol) {
    case "":
    case "http/protobuf":
      return { protocol: "http/protobuf", url: given.endpoint === "" ? undefined : tracesUrl(given.endpoint) };
    case "grpc":
      return { protocol, target: grpcTarget(env, given) };
    default:
      throw new FaultError(
        "notImplemented",
        `OpenTelemetry protocol ${quote(protocol)}; http/protobuf and grpc are what there is`,
      );
  }
}

/** As the specification says of an endpoint for all signals: the path of this one is added. */
function tracesUrl(endpoint: string): string {
  const url = URL.parse(endpoint.includes("://") ? endpoint : `http://${endpoint}`);
  if (url === null) throw new FaultError("invalidArgument", `endpoint ${quote(endpoint)} is no URL`);
  url.pathname = `${url.pathname.replace(/\/$/, "")}/v1/traces`;
  return url.href;
}

function samplerOf(env: Environment, config: TracingConfig): SamplerSettings {
  const name = env["OTEL_TRACES_SAMPLER"] ?? "";
  const known = /^(parentbased_)?(always_on|always_off|traceidratio)$/.exec(name);
  if (name !== "" && known === null) throw new FaultError("invalidArgument", `unknown sampler ${quote(name)}`);
  if (known === null) {
    const ratio = config.sampling_ratio === 0 ? 1 : config.sampling_ratio;
    return { kind: ratio >= 1 ? "always_on" : "traceidratio", followsParent: true, ratio };
  }
  const given = env["OTEL_TRACES_SAMPLER_ARG"] ?? "";
  const ratio = given === "" ? 1 : Number(given);
  if (!(ratio >= 0 && ratio <= 1)) {
    throw new FaultError("invalidArgument", `OTEL_TRACES_SAMPLER_ARG: ${quote(given)} is not between 0 and 1`);
  }
  return { kind: known[2] as SamplerSettings["kind"], followsParent: known[1] !== undefined, ratio };
}
