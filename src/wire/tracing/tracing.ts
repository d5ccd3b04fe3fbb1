import type { Logger } from "../../lib/log.ts";
import type { CallObserver } from "../observer.ts";
import type { Environment, TracingSettings } from "./settings.ts";

/** Traces calls, and sends what it has from time to time, and at its end. */
export interface Tracing extends AsyncDisposable {
  /** Calls over gRPC: one that comes without a trace begins one. */
  readonly grpc: CallObserver;
  /** Calls over ttrpc: those alone that belong to a trace. */
  readonly ttrpc: CallObserver;
}

/**
 * Begins to trace. Errors: invalidArgument (a certificate that can't be read).
 * Effects: OpenTelemetry's SDK is loaded, which nobody pays for who does not trace. Spans that cannot be sent are dropped, after so many;
 * the log says so.
 */
export async function openTracing(settings: TracingSettings, env: Environment, log: Logger): Promise<Tracing> {
  const { createTracing } = await import("./open-telemetry.ts");
  return await createTracing(settings, env, log);
}
