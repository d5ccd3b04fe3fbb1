import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { choice, definePlugin, flag, type PluginDefinition, table } from "../../plugin/index.ts";
import { METADATA } from "../tokens.ts";
import { openMetadataPatiently, type SchemaPart } from "./index.ts";

/** The database of every room whose tables are listed. */
export function metadataPlugin(schemas: readonly SchemaPart[]): PluginDefinition {
  return definePlugin({
    type: METADATA,
    id: "bolt",
    config: table({ content_sharing_policy: choice(["shared", "isolated"], "shared"), no_sync: flag() }),
    init: async (_given, { config, daemon, root, meta, scope, log }) => {
      await mkdir(root, { recursive: true, mode: 0o711 });
      // Not meta.db: a store that is handed back to containerd keeps its own file beside ours.
      const path = join(root, "meta.sqlite");
      meta.exports.set("policy", config.content_sharing_policy).set("path", path);
      if (config.no_sync) log.warn("no_sync has no effect: commits are grouped and always durable");
      const patience = { limitMs: daemon.timeouts.boltOpenMs, stop: daemon.stop, log };
      return scope.use(await openMetadataPatiently({ path, schemas }, patience));
    },
  });
}
