import { logLevels } from "../lib/log.ts";
import {
  anything,
  type ConfigSchema,
  choice,
  flag,
  integer,
  leaf,
  mapOf,
  sizeBytes,
  table,
  text,
  texts,
} from "./schema.ts";
import { timeoutsSchema } from "./timeouts.ts";

/** The newest version of containerd's configuration that is read. Source: containerd version/version.go. */
export const configVersion = 4;

/** The largest message of gRPC. Source: containerd defaults/defaults.go, DefaultMaxRecvMsgSize. */
export const messageBytes: number = 16 * 1024 * 1024;

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

/** containerd's words for a level, in capitals too, as logrus reads them; the empty one stands for the default. */
const level: ConfigSchema<string> = leaf({
  expects: `one of ${[...logLevels, "panic"].join(", ")}`,
  example: '"info"',
  fallback: "",
  take: (value) =>
    typeof value === "string" && ["", ...logLevels, "warning", "panic"].includes(value.toLowerCase())
      ? value
      : undefined,
});

const debug = { level, format: choice(["text", "json"], "text"), log_trace_id: flag() };

/** An owner by number. Source: chown(2): the highest one stands for "as it is". */
export const ownerId = (fallback = 0): ConfigSchema<number> => integer(fallback, 0, 2 ** 32 - 2);

const topFields: { readonly [K in keyof TopConfig]: ConfigSchema<TopConfig[K]> } = {
  version: integer(configVersion),
  root: text("", "/var/lib/lighter"),
  state: text("", "/run/lighter"),
  temp: text("", "/var/tmp/lighter"),
  debug: table(debug),
  disabled_plugins: texts([], "io.containerd.snapshotter.v1.native"),
  required_plugins: texts([], "io.containerd.snapshotter.v1.overlayfs"),
  oom_score: integer(0, -1000, 1000),
  cgroup: table({ path: text("", "/lighter") }),
  proxy_plugins: mapOf(
    table({ type: text(), address: text(), platform: text(), exports: mapOf(text()), capabilities: texts() }),
  ),
  timeouts: timeoutsSchema,
  imports: texts([], "/etc/lighter/conf.d/*.toml"),
  stream_processors: mapOf(table({ accepts: texts(), returns: text(), path: text(), args: texts(), env: texts() })),
  plugins: mapOf(anything),
};

export const topSchema: ConfigSchema<TopConfig> = table(topFields);

/** The top as TOML writes it, every default included. */
export function encodeTop(top: TopConfig): Readonly<Record<keyof TopConfig, unknown>> {
  return topSchema.encode(top) as Readonly<Record<keyof TopConfig, unknown>>;
}

const legacyFields = {
  plugin_dir: text(),
  grpc: table({
    address: text("", "/run/lighter/lighter.sock"),
    tcp_address: text("", "127.0.0.1:10010"),
    tcp_tls_ca: text("", "/etc/lighter/tls/ca.pem"),
    tcp_tls_cert: text("", "/etc/lighter/tls/server.pem"),
    tcp_tls_key: text("", "/etc/lighter/tls/server-key.pem"),
    tcp_tls_common_name: text("", "build-server"),
    uid: ownerId(),
    gid: ownerId(),
    max_recv_message_size: sizeBytes(messageBytes),
    max_send_message_size: sizeBytes(messageBytes),
  }),
  ttrpc: table({ address: text("", "/run/lighter/lighter.sock.ttrpc"), uid: ownerId(), gid: ownerId() }),
  metrics: table({ address: text("", "127.0.0.1:1338"), grpc_histogram: flag() }),
};

/** Keys of versions before 4, which migration moves to where they stand now. */
export const legacyKeys: readonly string[] = Object.keys(legacyFields);

/** A file of any version, as it stands. */
export const fileSchema: ConfigSchema<Pick<TopConfig, "version" | "imports">> = table({
  ...topFields,
  ...legacyFields,
  debug: table({ ...debug, address: text("", "/run/lighter/debug.sock"), uid: ownerId(), gid: ownerId() }),
});

/** Something a person should know about their configuration, with its place. */
export interface ConfigNote {
  /** `info` is for what containerd knows and lighter has no use for. */
  readonly level: "warn" | "info";
  readonly file: string;
  readonly line: number | undefined;
  readonly message: string;
}
