import { mkdir, open, readFile, rename, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { FaultError, failedPrecondition, fault, kindText, notImplemented, quote, wrapFault } from "../../lib/faults.ts";
import { absentField, type FieldAdaptor, type Filter, nonEmptyField, parseFilters } from "../../lib/filters.ts";
import type { PluginRecord, PluginView } from "../../plugin/index.ts";
import type { Warnings } from "../warnings/index.ts";
import type { InfoProvider, Introspection, ServerInfo } from "./introspection.ts";

export interface IntrospectionOptions {
  readonly plugins: PluginView;
  readonly warnings: Warnings;
  /** Where the server's identity is kept; its folder is made. */
  readonly uuidPath: string;
}

/** Tells of the process that this runs in. Source: containerd plugins/services/introspection/local.go. */
export function createIntrospection({ plugins, warnings, uuidPath }: IntrospectionOptions): Introspection {
  let server: Promise<ServerInfo> | undefined;
  return {
    plugins: (filters) => {
      const filter = filterOf(filters);
      return plugins.all().filter((plugin) => filter.matches(fieldsOf(plugin)));
    },
    server: () => {
      server ??= describe(uuidPath);
      server.catch(() => {
        server = undefined; // the next ask tries again
      });
      return server;
    },
    deprecations: () => warnings.list(),
    pluginInfo: async (ctx, type, id, options) => {
      const plugin = plugins.find(type, id);
      if (plugin === undefined) throw fault("notFound", `plugin ${type}.${id} not found`);
      if (options === undefined) return { plugin, extra: undefined };
      if (plugin.failure) throw failedPrecondition("cannot get extra info, plugin not successfully loaded");
      const provider = plugins.instance(plugin.uri);
      if (!isProvider(provider)) throw notImplemented("plugin does not provided extra information");
      return { plugin, extra: await provider.pluginInfo(ctx, options) };
    },
  };
}

/** Errors: invalidArgument, said before and after. Source: containerd plugins/services/introspection/local.go, Plugins. */
function filterOf(filters: readonly string[]): Filter {
  try {
    return parseFilters(filters);
  } catch (error) {
    throw wrapFault(kindText.invalidArgument, error);
  }
}

function isProvider(instance: unknown): instance is InfoProvider {
  return typeof instance === "object" && instance !== null && "pluginInfo" in instance;
}

/** `capabilities` and `platforms` hold several values, which containerd's filters don't look into. */
function fieldsOf(plugin: PluginRecord): FieldAdaptor {
  return ([first]) => {
    if (first === "type") return nonEmptyField(plugin.type);
    return first === "id" ? nonEmptyField(plugin.id) : absentField;
  };
}

async function describe(uuidPath: string): Promise<ServerInfo> {
  const pidNamespace = (await stat("/proc/self/ns/pid", { bigint: true })).ino;
  return { uuid: await readOrMakeUuid(uuidPath), pid: process.pid, pidNamespace };
}

async function readOrMakeUuid(path: string): Promise<string> {
  const kept = await readFile(path, "utf8").catch((error: unknown) => {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return "";
    throw error;
  });
  if (kept !== "") {
    if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(kept))
      throw new FaultError(
        "dataLoss",
        `${path}: invalid UUID ${quote(kept.slice(0, 40))}; remove the file to get a new one`,
      );
    return kept;
  }
  const made = crypto.randomUUID();
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const draft = `${path}.new`;
  await using file = await open(draft, "w", 0o644);
  await file.writeFile(made);
  await file.sync();
  await rename(draft, path);
  return made;
}
