import { access, readdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { FaultError, quote } from "../../lib/faults.ts";
import type { LogLevel } from "../../lib/log.ts";
import { type ConfigNote, defaultConfig, type LoadedConfig, loadConfig, type TopConfig } from "../../plugin/index.ts";
import type { Flavour } from "./flavours.ts";
import { type DaemonOptions, parseLevel } from "./options.ts";

/** What the daemon runs with: the flags over the file over the defaults. */
export interface Settings {
  readonly root: string;
  readonly state: string;
  readonly temp: string;
  readonly logLevel: LogLevel;
  readonly logFormat: "text" | "json";
  /** Lines that belong to a trace say to which. */
  readonly logTraceIds: boolean;
  readonly takeover: DaemonOptions["takeover"];
  readonly top: TopConfig;
  readonly config: LoadedConfig;
  /** The file that was read; undefined when there is none. */
  readonly configPath: string | undefined;
}

const optUri = "io.containerd.internal.v1.opt";
const grpcUri = "io.containerd.server.v1.grpc";
const ttrpcUri = "io.containerd.server.v1.ttrpc";

/**
 * Reads the configuration and lays the flags over it.
 * Errors: invalidArgument (mistakes in the file, each with its line), notFound (the file that --config names).
 */
export async function resolveSettings(options: DaemonOptions, flavour: Flavour): Promise<Settings> {
  const configPath = await findConfig(options, flavour);
  const read = configPath === undefined ? defaultConfig() : await loadConfig(configPath);
  const loaded = { ...read, notes: [...read.notes, ...(await unreadDropIns(read, options, flavour))] };
  const root = options.root ?? (loaded.top.root || flavour.root);
  const config = withPlaces(loaded, options.address, flavour, optPath(root, flavour));
  const state = options.state ?? (config.top.state || flavour.state);
  if (root === state)
    throw new FaultError("invalidArgument", `root and state must be different paths, both are ${quote(root)}`);
  return {
    root,
    state,
    temp: config.top.temp,
    logLevel: options.logLevel ?? parseLevel(config.top.debug.level, "debug.level"),
    logFormat: logFormat(config.top.debug.format),
    logTraceIds: config.top.debug.log_trace_id,
    takeover: options.takeover,
    top: config.top,
    config,
    configPath,
  };
}

/** Drop-ins count for files that import them. Whoever put one into the folder all the same is told. */
async function unreadDropIns(
  { files }: LoadedConfig,
  { configPath }: DaemonOptions,
  { imports, configPath: usual }: Flavour,
): Promise<readonly ConfigNote[]> {
  if (configPath !== undefined && configPath !== usual) return [];
  const folder = dirname(imports);
  const names = await readdir(folder).catch(() => []); // no folder: no drop-ins
  return names
    .filter((name) => name.endsWith(".toml") && !files.has(join(folder, name)))
    .toSorted()
    .map((name) => ({
      level: "warn",
      file: join(folder, name),
      line: undefined,
      message: `is not read: nothing imports it; it needs imports = [${quote(imports)}] in ${usual}`,
    }));
}

/** A note as one line for people. */
export function noteText({ file, line, message }: ConfigNote): string {
  return `${file}${line === undefined ? "" : `:${line}`}: ${message}`;
}

async function findConfig(options: DaemonOptions, flavour: Flavour): Promise<string | undefined> {
  if (options.configPath !== undefined) return options.configPath;
  const there = await access(flavour.configPath).then(
    () => true,
    () => false, // no file at the default place: the defaults hold
  );
  return there ? flavour.configPath : undefined;
}

/** Where the sockets are, and where clients install programs. The flag names both sockets, the ttrpc one beside the other, unless the file places that one itself. */
export function withPlaces(
  config: LoadedConfig,
  flag: string | undefined,
  flavour: Flavour,
  opt: string = flavour.opt,
): LoadedConfig {
  let document = config.document;
  const grpcPath = ["plugins", grpcUri, "address"];
  const optKey = ["plugins", optUri, "path"];
  if (document.get(optKey) === undefined) document = document.put(optKey, opt);
  const ttrpcPath = ["plugins", ttrpcUri, "address"];
  if (flag !== undefined) document = document.put(grpcPath, flag);
  else if (document.get(grpcPath) === undefined) document = document.put(grpcPath, flavour.address);
  if (document.get(ttrpcPath) === undefined || flag !== undefined) {
    const beside = `${String(document.get(grpcPath))}.ttrpc`;
    document = document.put(ttrpcPath, beside);
    for (const id of ["uid", "gid"]) {
      const owner = document.get(["plugins", grpcUri, id]);
      if (owner !== undefined && document.get(["plugins", ttrpcUri, id]) === undefined)
        document = document.put(["plugins", ttrpcUri, id], owner);
    }
  }
  return { ...config, document };
}

/** A daemon with a root of its own keeps to it. */
function optPath(root: string, flavour: Flavour): string {
  return root === flavour.root ? flavour.opt : join(root, optUri);
}

function logFormat(format: string): "text" | "json" {
  if (format === "" || format === "text") return "text";
  if (format === "json") return "json";
  throw new FaultError("invalidArgument", `debug.format: expected "text" or "json", got ${quote(format)}`);
}
