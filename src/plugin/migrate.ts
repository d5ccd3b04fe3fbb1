import { configVersion } from "./config.ts";
import type { ConfigDocument } from "./config-document.ts";
import { partCri } from "./migrate-cri.ts";
import { isTable } from "./schema.ts";

/** One step: a document of version n in, one of version n + 1 out. */
type Migration = (document: ConfigDocument) => ConfigDocument;

/**
 * Brings a document to the newest version, as containerd does before it reads it.
 * Shape: version 0 (none given) counts as 1.
 * Source: containerd cmd/containerd/server/config/config.go, and the ConfigMigration of each plugin.
 */
export function migrate(document: ConfigDocument, from: number): ConfigDocument {
  let migrated = document;
  for (let version = Math.max(from, 1); version < configVersion; version++)
    migrated = renamePlugins(migrations.get(version)?.(migrated) ?? migrated);
  return migrated.put(["version"], configVersion, ["version"]);
}

/** What version 1 called plugins. */
export const shortNames: Readonly<Record<string, string>> = {
  cri: "io.containerd.grpc.v1.cri",
  cgroups: "io.containerd.monitor.v1.cgroups",
  linux: "io.containerd.runtime.v1.linux",
  scheduler: "io.containerd.gc.v1.scheduler",
  bolt: "io.containerd.metadata.v1.bolt",
  task: "io.containerd.runtime.v2.task",
  opt: "io.containerd.internal.v1.opt",
  restart: "io.containerd.internal.v1.restart",
  tracing: "io.containerd.internal.v1.tracing",
  otlp: "io.containerd.tracing.processor.v1.otlp",
  aufs: "io.containerd.snapshotter.v1.aufs",
  btrfs: "io.containerd.snapshotter.v1.btrfs",
  devmapper: "io.containerd.snapshotter.v1.devmapper",
  native: "io.containerd.snapshotter.v1.native",
  overlayfs: "io.containerd.snapshotter.v1.overlayfs",
  zfs: "io.containerd.snapshotter.v1.zfs",
};

/** Version 1 called a plugin by its id alone. */
function fullName(name: string): string {
  if (name.includes(".")) return name;
  const known = shortNames[name];
  if (known !== undefined) return known;
  return name.endsWith("-service") ? `io.containerd.service.v1.${name}` : `io.containerd.grpc.v1.${name}`;
}

function nameInFull(document: ConfigDocument): ConfigDocument {
  let named = document;
  const plugins = document.get(["plugins"]);
  for (const name of isTable(plugins) ? Object.keys(plugins) : [])
    if (fullName(name) !== name) named = named.move(["plugins", name], ["plugins", fullName(name)]);
  for (const key of ["disabled_plugins", "required_plugins"]) {
    const list = document.get([key]);
    if (Array.isArray(list)) named = named.put([key], list.map(String).map(fullName), [key]);
  }
  return named;
}

const server = (id: string): readonly string[] => ["plugins", `io.containerd.server.v1.${id}`];

/** What stood at the top for the servers belongs to their plugins from version 4 on. */
function serversToPlugins(document: ConfigDocument): ConfigDocument {
  let moved = document;
  const grpc = ["address", "uid", "gid", ...messageSizes];
  moved = deriveTtrpc(moved);
  if (hasAny(moved, "grpc", grpc)) moved = moveKeys(moved, "grpc", grpc, server("grpc"));
  moved = tcpToPlugin(document, moved);
  moved = moveKeys(moved, "ttrpc", ["address", "uid", "gid"], server("ttrpc"));
  moved = moveKeys(moved, "debug", ["address", "uid", "gid"], server("debug"));
  moved = moveSet(moved, ["metrics", "address"], [...server("metrics"), "address"]);
  moved = moveSet(
    moved,
    ["metrics", "grpc_histogram"],
    ["plugins", "io.containerd.metrics.v1.grpc-prometheus", "grpc_histogram"],
  );
  for (const gone of ["grpc", "ttrpc", "metrics", "plugin_dir"]) moved = moved.remove([gone]);
  return moved;
}

const tcpKeys = {
  address: "tcp_address",
  tls_ca: "tcp_tls_ca",
  tls_cert: "tcp_tls_cert",
  tls_key: "tcp_tls_key",
  tls_common_name: "tcp_tls_common_name",
};
const messageSizes = ["max_recv_message_size", "max_send_message_size"] as const;

/** The sizes hold for both sockets: `before` still has them. */
function tcpToPlugin(before: ConfigDocument, document: ConfigDocument): ConfigDocument {
  const to = server("grpc-tcp");
  if (!isSet(document.get(["grpc", "tcp_address"])) || document.get(to) !== undefined) return document;
  let moved = document;
  for (const [key, from] of Object.entries(tcpKeys)) moved = moveSet(moved, ["grpc", from], [...to, key]);
  for (const key of messageSizes) {
    const size = before.get(["grpc", key]);
    if (isSet(size)) moved = moved.put([...to, key], size, [...to, "address"]);
  }
  return moved;
}

/** Before version 4 the ttrpc socket stood beside the gRPC one unless it was said otherwise. */
function deriveTtrpc(document: ConfigDocument): ConfigDocument {
  const address = document.get(["grpc", "address"]);
  if (!isSet(address) || isSet(document.get(["ttrpc", "address"])) || document.get(server("ttrpc"))) return document;
  let derived = document.put(["ttrpc", "address"], `${String(address)}.ttrpc`, ["grpc", "address"]);
  for (const id of ["uid", "gid"])
    if (!isSet(derived.get(["ttrpc", id])) && isSet(derived.get(["grpc", id])))
      derived = derived.put(["ttrpc", id], derived.get(["grpc", id]), ["grpc", id]);
  return derived;
}

function hasAny(document: ConfigDocument, table: string, keys: readonly string[]): boolean {
  return keys.some((key) => isSet(document.get([table, key])));
}

function moveKeys(
  document: ConfigDocument,
  table: string,
  keys: readonly string[],
  to: readonly string[],
): ConfigDocument {
  if (document.get(to) !== undefined) return document;
  return keys.reduce((moved, key) => moveSet(moved, [table, key], [...to, key]), document);
}

/** An empty value stands for "not set" in these tables: containerd writes them all out. */
function moveSet(document: ConfigDocument, from: readonly string[], to: readonly string[]): ConfigDocument {
  return isSet(document.get(from)) ? document.move(from, to) : document.remove(from);
}

const isSet = (value: unknown): boolean => value !== undefined && value !== "" && value !== 0 && value !== false;

/** Plugins that changed their names or handed keys over; run for every step, as each plugin does in containerd. */
function renamePlugins(document: ConfigDocument): ConfigDocument {
  const uri = (name: string): readonly string[] => ["plugins", name];
  const task = "io.containerd.runtime.v2.task";
  let renamed = partCri(document)
    .move(uri("io.containerd.monitor.v1.cgroups"), uri("io.containerd.monitor.task.v1.cgroups"))
    .move(uri("io.containerd.internal.v1.restart"), uri("io.containerd.monitor.container.v1.restart"));
  if (renamed.get([...uri(task), "sched_core"]) === true)
    renamed = renamed.put(
      [...uri("io.containerd.shim.v1.manager"), "env"],
      ["SCHED_CORE=1"],
      [...uri(task), "sched_core"],
    );
  return renamed.remove([...uri(task), "sched_core"]);
}

const migrations: ReadonlyMap<number, Migration> = new Map([
  [1, nameInFull],
  [3, serversToPlugins],
]);
