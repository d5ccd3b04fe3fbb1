import { DiagLogLevel, diag } from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-proto";
import { defaultResource, detectResources, envDetector, resourceFromAttributes } from "@opentelemetry/resources";
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  type BatchSpanProcessorOptions,
  ParentBasedSampler,
  type Sampler,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from "@opentelemetry/sdk-trace";
import type { Logger } from "../../lib/log.ts";
import { pause } from "../../lib/pause.ts";
import { apiVersion } from "../../lib/version.ts";
import type { CallObserver } from "../../wire/grpc/index.ts";
import { CallSpans } from "./call-spans.ts";
import type { Environment, SamplerSettings, TracingSettings } from "./settings.ts";

/** How long the end of the daemon waits for the last spans to be taken. */
const flushLimitMs = 2000;

/** Traces calls, and sends what it has from time to time, and at its end. */
export interface Tracing extends AsyncDisposable {
  readonly calls: CallObserver;
}

/** Begins to trace. Effects: spans that cannot be sent are dropped, after so many; the log says so. */
export function openTracing(settings: TracingSettings, env: Environment, log: Logger): Tracing {
  const own = { "service.name": settings.serviceName, "service.version": apiVersion };
  const resource = defaultResource()
    .merge(resourceFromAttributes(own))
    .merge(detectResources({ detectors: [envDetector] }));
  const exporter = new OTLPTraceExporter(settings.url === undefined ? {} : { url: settings.url });
  const provider = new TracerProvider({
    resource,
    sampler: samplerOf(settings.sampler),
    spanProcessors: [new BatchSpanProcessor({ exporter, ...batchOptions(env) })],
  });
  // The library speaks of what it could not send in no other way.
  diag.setLogger(
    {
      error: (message) => log.warn("tracing", { error: message }),
      warn: (message) => log.warn("tracing", { error: message }),
      info: () => {},
      debug: () => {},
      verbose: () => {},
    },
    DiagLogLevel.WARN,
  );
  return {
    calls: new CallSpans(provider.getTracer("lighter", apiVersion)),
    [Symbol.asyncDispose]: async () => {
      const cut = new AbortController();
      const sent = provider.shutdown().catch((error: unknown) => log.warn("tracing", { error }));
      await Promise.race([sent, pause(flushLimitMs, cut.signal).catch(() => undefined)]);
      cut.abort();
      diag.disable();
    },
  };
}

function samplerOf({ kind, followsParent, ratio }: SamplerSettings): Sampler {
  const root: Sampler = {
    always_on: () => new AlwaysOnSampler(),
    always_off: () => new AlwaysOffSampler(),
    traceidratio: () => new TraceIdRatioBasedSampler(ratio),
  }[kind]();
  return followsParent ? new ParentBasedSampler({ root }) : root;
}

/** Source: OpenTelemetry specification, SDK environment variables, batch span processor. */
function batchOptions(env: Environment): Omit<BatchSpanProcessorOptions, "exporter"> {
  const names = {
    scheduledDelayMillis: "OTEL_BSP_SCHEDULE_DELAY",
    exportTimeoutMillis: "OTEL_BSP_EXPORT_TIMEOUT",
    maxQueueSize: "OTEL_BSP_MAX_QUEUE_SIZE",
    maxExportBatchSize: "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
  };
  const given = Object.entries(names).map(([key, name]) => [key, Number(env[name])] as const);
  return Object.fromEntries(given.filter(([, value]) => Number.isSafeInteger(value) && value > 0));
}
