import { INTERNAL } from "../../core/tokens.ts";
import {
  type ConfigSchema,
  definePlugin,
  flag,
  type Kind,
  kind,
  optional,
  type PluginDefinition,
  SkipPlugin,
  type Token,
  table,
  text,
  token,
} from "../../plugin/index.ts";
import type { CallObserver } from "../../wire/grpc/index.ts";
import { openTracing, tracingSettings } from "../../wire/tracing/index.ts";

interface OtlpConfig {
  readonly endpoint: string;
  readonly protocol: string;
  readonly insecure: boolean;
}

const PROCESSOR: Kind<OtlpConfig> = kind("io.containerd.tracing.processor.v1");
const otlpToken: Token<OtlpConfig> = token(PROCESSOR, "otlp");

/** What traces calls; not there where nobody asked for traces. */
export const tracingToken: Token<CallObserver> = token(INTERNAL, "tracing");

const ratio: ConfigSchema<number> = {
  expects: "a number between 0.0 and 1.0",
  encode: (value) => value,
  decode: (value, path, report) => {
    if (value === undefined) return 0;
    if (typeof value === "number" && value >= 0 && value <= 1) return value;
    report.invalid(path, "a number between 0.0 and 1.0", value);
    return 0;
  },
};

/** Where spans go, if anywhere. Its settings are containerd 1.6's; the environment's variables go before them. */
const otlp: PluginDefinition = definePlugin({
  type: PROCESSOR,
  id: "otlp",
  config: table({ endpoint: text(), protocol: text(), insecure: flag() }),
  init: (_given, { config }) => {
    const settings = tracingSettings(process.env, { ...config, service_name: "", sampling_ratio: 0 });
    if (typeof settings === "string") throw new SkipPlugin(settings);
    return config;
  },
});

const tracing: PluginDefinition = definePlugin({
  type: INTERNAL,
  id: "tracing",
  requires: { otlp: optional(otlpToken) },
  config: table({ service_name: text(), sampling_ratio: ratio }),
  init: async ({ otlp: place }, { config, log, scope }): Promise<CallObserver> => {
    if (place === undefined) throw new SkipPlugin("no tracing processors");
    const settings = tracingSettings(process.env, { ...place, ...config });
    if (typeof settings === "string") throw new SkipPlugin(settings);
    const opened = scope.use(await openTracing(settings, process.env, log));
    log.info("tracing", { service: settings.serviceName });
    return opened.grpc;
  },
});

export const tracingPlugins: readonly PluginDefinition[] = [otlp, tracing];
