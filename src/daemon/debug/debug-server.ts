import { definePlugin, ownerId, type PluginDefinition, SkipPlugin, table, text } from "../../plugin/index.ts";
import { pageServer } from "../listeners/page-server.ts";
import { SERVER, type Server } from "../listeners/server.ts";

/** The socket of `[debug]`: what the daemon is doing, for whoever looks into it. Source: containerd internal/pprof/plugin.go. */
export const debugServer: PluginDefinition = definePlugin({
  type: SERVER,
  id: "debug",
  config: table({ address: text(), uid: ownerId(process.geteuid?.() ?? 0), gid: ownerId(process.getegid?.() ?? 0) }),
  init: (_given, { config, log, plugins, scope }): Server => {
    if (config.address === "") throw new SkipPlugin("no address");
    return pageServer({ name: "debug", place: config, log, scope }, async () => {
      // An HTTP server and a profiler: a daemon without this socket starts without loading them.
      const { serveDebug } = await import("./debug-listener.ts");
      return (fd) => serveDebug(fd, plugins, log);
    });
  },
});
