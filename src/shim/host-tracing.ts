import { messageOf } from "../lib/faults.ts";
import type { Logger } from "../lib/log.ts";
import { type Environment, openTracing, type Tracing, tracingSettings } from "../wire/tracing/index.ts";

/** What a host goes by in traces where no variable says it. */
const serviceName = "containerd-shim-lighter-v2";

/**
 * Traces what the host does within calls that belong to a trace, where OpenTelemetry's variables ask for it; undefined where they do not,
 * which costs nothing. Effects: variables that make no sense are told of in the log, and nothing is traced.
 */
export async function openHostTracing(env: Environment, log: Logger): Promise<Tracing | undefined> {
  const config = { endpoint: "", protocol: "", insecure: false, service_name: serviceName, sampling_ratio: 0 };
  try {
    const settings = tracingSettings(env, config);
    if (typeof settings === "string") return undefined;
    const tracing = await openTracing(settings, env, log);
    log.info("tracing", { service: settings.serviceName });
    return tracing;
  } catch (error) {
    log.warn("nothing is traced", { error: messageOf(error) });
    return undefined;
  }
}
