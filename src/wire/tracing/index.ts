export { type Environment, type TracingConfig, type TracingSettings, tracingSettings } from "./settings.ts";
export { openTracing, type Tracing } from "./tracing.ts";
