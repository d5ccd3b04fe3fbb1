import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { invalidArgument, quote } from "../../lib/faults.ts";
import { definePlugin, type PluginDefinition, table, text } from "../../plugin/index.ts";
import { INTERNAL } from "../tokens.ts";

/** Where `ctr install` puts an image's programs; it asks Introspection for the path, and needs it to be there. */
export const optPlugin: PluginDefinition = definePlugin({
  type: INTERNAL,
  id: "opt",
  config: table({ path: text("/opt/containerd") }),
  init: async (_given, { config: { path }, meta }) => {
    if (!path.startsWith("/")) throw invalidArgument(`the path of opt must be absolute: ${quote(path)}`);
    meta.exports.set("path", path);
    for (const name of ["bin", "lib"]) await mkdir(join(path, name), { recursive: true, mode: 0o711 });
    return { path };
  },
});
