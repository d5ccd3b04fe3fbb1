import { DiagLogLevel, diag } from "@opentelemetry/api";
import { defaultResource, detectResources, envDetector, resourceFromAttributes } from "@opentelemetry/resources";
import {
  AlwaysOffSampler,
  AlwaysOnSampler,
  BatchSpanProcessor,
  type BatchSpanProcessorOptions,
  ParentBasedSampler,
  type Sampler,
  type SpanExporter,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from "@opentelemetry/sdk-trace";
import type { Logger } from "../../lib/log.ts";
import { pause } from "../../lib/pause.ts";
import { apiVersion } from "../../lib/version.ts";
import { CallSpans } from "./call-spans.ts";
import type { Environment, ExporterSettings, SamplerSettings, TracingSettings } from "./settings.ts";
import type { Tracing } from "./tracing.ts";

/** How long the end of the process waits for the last spans to be taken. */
const flushLimitMs = 2000;

/** Begins to trace; see `openTracing`, which loads this. */
export async function createTracing(settings: TracingSettings, env: Environment, log: Logger): Promise<Tracing> {
  const own = { "service.name": settings.serviceName, "service.version": apiVersion };
  const resource = defaultResource()
    .merge(resourceFromAttributes(own))
    .merge(detectResources({ detectors: [envDetector] }));
  const exporter = await exporterFor(settings.exporter);
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
  const tracer = provider.getTracer("lighter", apiVersion);
  return {
    grpc: new CallSpans(tracer, { system: "grpc", beginsTraces: true }),
    ttrpc: new CallSpans(tracer, { system: "ttrpc", beginsTraces: false }),
    [Symbol.asyncDispose]: async () => {
      const cut = new AbortController();
      const sent = provider.shutdown().catch((error: unknown) => log.warn("tracing", { error }));
      await Promise.race([sent, pause(flushLimitMs, cut.signal).catch(() => undefined)]);
      cut.abort();
      diag.disable();
    },
  };
}

/** Loads what sends by the wanted protocol, and not the other. */
async function exporterFor(settings: ExporterSettings): Promise<SpanExporter> {
  if (settings.protocol === "grpc") {
    const { createGrpcExporter } = await import("./grpc-exporter.ts");
    return await createGrpcExporter(settings.target);
  }
  const { OTLPTraceExporter } = await import("@opentelemetry/exporter-trace-otlp-proto");
  return new OTLPTraceExporter(settings.url === undefined ? {} : { url: settings.url });
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
