import { anything, type ConfigSchema, duration, flag, integer, mapOf, table, text, texts } from "./schema.ts";

/** The newest version of containerd's configuration that is read. Source: containerd version/version.go. */
export const configVersion = 4;

interface DebugConfig {
  readonly level: string;
  readonly format: string;
  readonly log_trace_id: boolean;
}

export interface ProxyPluginConfig {
  readonly type: string;
  readonly address: string;
  readonly platform: string;
  readonly exports: ReadonlyMap<string, string>;
  readonly capabilities: readonly string[];
}

export interface StreamProcessorConfig {
  readonly accepts: readonly string[];
  readonly returns: string;
  readonly path: string;
  readonly args: readonly string[];
  readonly env: readonly string[];
}

/** The configuration at its top, after migration to the newest version. Plugins decode their own tables. */
export interface TopConfig {
  readonly version: number;
  readonly root: string;
  readonly state: string;
  readonly temp: string;
  readonly debug: DebugConfig;
  readonly disabled_plugins: readonly string[];
  readonly required_plugins: readonly string[];
  readonly oom_score: number;
  readonly cgroup: { readonly path: string };
  readonly proxy_plugins: ReadonlyMap<string, ProxyPluginConfig>;
  readonly timeouts: ReadonlyMap<string, number>;
  readonly imports: readonly string[];
  readonly stream_processors: ReadonlyMap<string, StreamProcessorConfig>;
  readonly plugins: ReadonlyMap<string, unknown>;
}

const debug = { level: text(), format: text(), log_trace_id: flag() };

const topFields: { readonly [K in keyof TopConfig]: ConfigSchema<TopConfig[K]> } = {
  version: integer(configVersion),
  root: text(),
  state: text(),
  temp: text(),
  debug: table(debug),
  disabled_plugins: texts(),
  required_plugins: texts(),
  oom_score: integer(),
  cgroup: table({ path: text() }),
  proxy_plugins: mapOf(
    table({ type: text(), address: text(), platform: text(), exports: mapOf(text()), capabilities: texts() }),
  ),
  timeouts: mapOf(duration()),
  imports: texts(),
  stream_processors: mapOf(table({ accepts: texts(), returns: text(), path: text(), args: texts(), env: texts() })),
  plugins: mapOf(anything),
};

export const topSchema: ConfigSchema<TopConfig> = table(topFields);

const legacyFields = {
  plugin_dir: text(),
  grpc: table({
    address: text(),
    tcp_address: text(),
    tcp_tls_ca: text(),
    tcp_tls_cert: text(),
    tcp_tls_key: text(),
    tcp_tls_common_name: text(),
    uid: integer(),
    gid: integer(),
    max_recv_message_size: integer(),
    max_send_message_size: integer(),
  }),
  ttrpc: table({ address: text(), uid: integer(), gid: integer() }),
  metrics: table({ address: text(), grpc_histogram: flag() }),
};

/** Keys of versions before 4, which migration moves to where they stand now. */
export const legacyKeys: readonly string[] = Object.keys(legacyFields);

/** A file of any version, as it stands. */
export const fileSchema: ConfigSchema<Pick<TopConfig, "version" | "imports">> = table({
  ...topFields,
  ...legacyFields,
  debug: table({ ...debug, address: text(), uid: integer(), gid: integer() }),
});

/** Something a person should know about their configuration, with its place. */
export interface ConfigNote {
  /** `info` is for what containerd knows and lighter has no use for. */
  readonly level: "warn" | "info";
  readonly file: string;
  readonly line: number | undefined;
  readonly message: string;
}
