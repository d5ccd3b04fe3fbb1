import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { messageOf } from "../lib/faults.ts";
import type { Logger } from "../lib/log.ts";
import type { PluginView } from "../plugin/index.ts";
import { debugAnswer } from "./debug-answers.ts";
import { addressOf, closeHttp, type HttpPlace, listenHttp } from "./http-listener.ts";

/** Answers requests to the debug socket until it is disposed of. Errors: those of claimSocket, and of listening. */
export async function serveDebug(place: HttpPlace, plugins: PluginView, log: Logger): Promise<AsyncDisposable> {
  const server = createServer((request, response) => {
    answer(plugins, request, response).catch((error: unknown) => {
      log.warn("debug request", { error: messageOf(error) });
      response.destroy();
    });
  });
  await listenHttp(server, place);
  log.info("serving debug", { address: addressOf(server) });
  return { [Symbol.asyncDispose]: () => closeHttp(server) };
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
