import { FaultError, quote } from "../../lib/faults.ts";
import type { Environment } from "./settings.ts";

/** Where traces go over gRPC, and how. */
export interface GrpcTarget {
  readonly place: { readonly path: string } | { readonly host: string; readonly port: number };
  /** Files with certificates; undefined for a connection that nobody encrypts. */
  readonly tls: GrpcTlsFiles | undefined;
  /** Metadata of each call. */
  readonly headers: ReadonlyMap<string, string>;
  readonly timeoutMs: number;
  readonly gzip: boolean;
}

interface GrpcTlsFiles {
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
}

/** Source: OpenTelemetry specification, OTLP exporter configuration, defaults. */
const defaultEndpoint = "http://localhost:4317";
const defaultTimeoutMs = 10_000;
const plainPort = 4317;
const tlsPort = 443;

/**
 * Reads of the environment where traces go over gRPC.
 * Shape: `given` is the configuration's endpoint, for an environment that has none. A variable for traces goes before the one for all signals.
 * Errors: invalidArgument (an endpoint or a number that makes no sense).
 * Source: OpenTelemetry specification, OTLP exporter configuration; opentelemetry-go exporters/otlp/otlptrace/otlptracegrpc.
 */
export function grpcTarget(
  env: Environment,
  given: { readonly endpoint: string; readonly insecure: boolean },
): GrpcTarget {
  const read = (name: string): string =>
    env[`OTEL_EXPORTER_OTLP_TRACES_${name}`] || env[`OTEL_EXPORTER_OTLP_${name}`] || "";
  const insecure = read("INSECURE");
  const isPlain = insecure === "" ? given.insecure : insecure.toLowerCase() === "true";
  const { place, isEncrypted } = placeOf(read("ENDPOINT") || given.endpoint || defaultEndpoint, isPlain);
  const file = (name: string): string | undefined => read(name) || undefined;
  const files = { ca: file("CERTIFICATE"), cert: file("CLIENT_CERTIFICATE"), key: file("CLIENT_KEY") };
  return {
    place,
    tls: isEncrypted ? files : undefined,
    headers: new Map([
      ...headersOf(env["OTEL_EXPORTER_OTLP_HEADERS"] ?? ""),
      ...headersOf(env["OTEL_EXPORTER_OTLP_TRACES_HEADERS"] ?? ""),
    ]),
    timeoutMs: timeoutOf(read("TIMEOUT")),
    gzip: read("COMPRESSION") === "gzip",
  };
}

/** The scheme says whether it is encrypted; `isPlain` counts for an endpoint without one. */
function placeOf(endpoint: string, isPlain: boolean): { place: GrpcTarget["place"]; isEncrypted: boolean } {
  const found = /^(?:([a-z]+):)?(?:\/\/)?(.*)$/i.exec(/^[^:/]+:\d+$/.test(endpoint) ? `//${endpoint}` : endpoint);
  const scheme = found?.[1]?.toLowerCase();
  const rest = found?.[2] ?? "";
  if (scheme === "unix") return { place: { path: rest }, isEncrypted: false };
  // Of a scheme that is nobody's, so that no port is taken for the usual one.
  const url = URL.parse(`otlp://${rest}`);
  const isKnown = scheme === undefined || scheme === "http" || scheme === "https";
  if (!isKnown || url === null || url.hostname === "") {
    throw new FaultError("invalidArgument", `endpoint ${quote(endpoint)} is none; for example ${defaultEndpoint}`);
  }
  const isEncrypted = scheme === undefined ? !isPlain : scheme === "https";
  const port = url.port === "" ? (isEncrypted ? tlsPort : plainPort) : Number(url.port);
  return { place: { host: url.hostname.replace(/^\[|\]$/g, ""), port }, isEncrypted };
}

/** Source: OpenTelemetry specification, OTLP exporter configuration, specifying headers (as W3C baggage). */
function headersOf(text: string): [name: string, value: string][] {
  return text.split(",").flatMap((pair): [string, string][] => {
    const [name = "", ...value] = pair.split("=");
    return name.trim() === "" || value.length === 0
      ? []
      : [[name.trim().toLowerCase(), decoded(value.join("=").trim())]];
  });
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a percent sign that means itself
  }
}

function timeoutOf(text: string): number {
  if (text === "") return defaultTimeoutMs;
  const timeoutMs = Number(text);
  if (Number.isSafeInteger(timeoutMs) && timeoutMs > 0) return timeoutMs;
  throw new FaultError("invalidArgument", `OTEL_EXPORTER_OTLP_TIMEOUT: ${quote(text)} is no number of milliseconds`);
}
