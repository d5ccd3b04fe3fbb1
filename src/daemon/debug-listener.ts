import { chmodSync } from "node:fs";
import { createServer, type Server as HttpServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { messageOf } from "../lib/faults.ts";
import type { Logger } from "../lib/log.ts";
import type { PluginView } from "../plugin/index.ts";
import { debugAnswer } from "./debug-answers.ts";
import { claimSocket, handOver, socketPath } from "./sockets.ts";

/** Where it listens: a path, or HOST:PORT, as containerd takes them. */
export interface DebugPlace {
  readonly address: string;
  readonly uid: number;
  readonly gid: number;
}

/** Answers requests to the debug socket until it is disposed of. Errors: those of claimSocket, and of listening. */
export async function serveDebug(place: DebugPlace, plugins: PluginView, log: Logger): Promise<AsyncDisposable> {
  const server = createServer((request, response) => {
    answer(plugins, request, response).catch((error: unknown) => {
      log.warn("debug request", { error: messageOf(error) });
      response.destroy();
    });
  });
  await listen(server, place);
  log.info("serving debug", { address: addressOf(server) });
  return { [Symbol.asyncDispose]: () => closeServer(server) };
}

async function answer(plugins: PluginView, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const gone = new AbortController();
  response.once("close", () => gone.abort());
  const url = URL.parse(request.url ?? "/", "http://debug");
  try {
    const { status, type, body } = await debugAnswer(url?.pathname ?? "", url?.searchParams, plugins, gone.signal);
    response.writeHead(status, { "content-type": type, "x-content-type-options": "nosniff" });
    response.end(body);
  } catch (error) {
    // Whoever asked is gone, and nobody hears of it.
    if (!gone.signal.aborted) throw error;
  }
}

async function listen(server: HttpServer, { address, uid, gid }: DebugPlace): Promise<void> {
  const tcp = /^(?:tcp:\/\/)?([^/]*):(\d+)$/.exec(address);
  if (tcp !== null) {
    await listening(server, () => server.listen(Number(tcp[2]), (tcp[1] || "127.0.0.1").replace(/^\[|\]$/g, "")));
    return;
  }
  const path = socketPath(address);
  await claimSocket(path);
  await listening(server, () => {
    // The socket exists from bind on; the mask keeps others out until chmod gave it its mode. Both are synchronous.
    const mask = process.umask(0o177);
    try {
      server.listen(path);
    } finally {
      process.umask(mask);
    }
  });
  chmodSync(path, 0o660);
  await handOver(path, uid, gid);
}

function listening(server: HttpServer, begin: () => void): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  server.once("listening", () => resolve());
  begin();
  return promise.finally(() => server.off("error", reject));
}

function addressOf(server: HttpServer): string {
  const address = server.address() as AddressInfo | string | null;
  return typeof address === "string" ? address : `${address?.address}:${address?.port}`;
}

function closeServer(server: HttpServer): Promise<void> {
  server.closeAllConnections();
  return new Promise((resolve) => server.close(() => resolve()));
}
