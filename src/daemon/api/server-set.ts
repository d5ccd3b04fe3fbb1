import { type PluginView, type StartedPlugins, token } from "../../plugin/index.ts";
import type { Listeners } from "../listeners/listeners.ts";
import { type Begin, SERVER, type Server } from "../listeners/server.ts";

/** In the order in which they begin: whoever finds the main socket answering finds those of debug and metrics there. */
const serverIds = ["debug", "metrics", "grpc", "ttrpc", "grpc-tcp"] as const;
/** Those whose calls cause events. */
const apiIds: ReadonlySet<string> = new Set(["grpc", "grpc-tcp"]);

/**
 * Opens every socket, and begins to serve when all of them are there. Errors: those of a server's `open`; without the main socket a
 * daemon is of no use to anybody, and its plugin's failure is one, too.
 */
export async function openServers(started: StartedPlugins, listeners: Listeners): Promise<void> {
  const begins: Begin[] = [];
  for (const id of serverIds) {
    const record = started.view.find(SERVER.type, id);
    if (id !== "grpc" && (record === undefined || record.failure !== undefined)) continue;
    begins.push(await started.get(token<Server>(SERVER, id)).open(listeners));
  }
  for (const begin of begins) begin();
}

/**
 * Has all servers take no more clients, and waits until those that they have were answered. `retire` is called when no calls of the
 * API are under way but those that wait themselves, whichever socket they came by: subscribers hear all that came of the others, and
 * nothing is taken that they would not hear of.
 */
export async function closeServers(view: PluginView, retire: () => void): Promise<void> {
  const servers = serverIds.flatMap((id) => {
    const server = view.instance(`${SERVER.type}.${id}`);
    return isServer(server) ? [{ id, server }] : [];
  });
  const loud = new Set(servers.filter(({ id }) => apiIds.has(id)).map(({ server }) => server));
  const allQuiet = Promise.withResolvers<void>();
  const quieted = (server: Server): Promise<void> => {
    if (loud.delete(server) && loud.size === 0) {
      retire();
      allQuiet.resolve();
    }
    return allQuiet.promise;
  };
  const close = async (server: Server): Promise<void> => {
    try {
      await server.close?.(() => quieted(server));
    } finally {
      // One that fails keeps nobody waiting.
      void quieted(server);
    }
  };
  await Promise.all(servers.map(({ server }) => close(server)));
}

function isServer(instance: unknown): instance is Server {
  return typeof instance === "object" && instance !== null && "open" in instance;
}
