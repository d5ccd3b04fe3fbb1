import type { IncomingMessage, ServerResponse } from "node:http";
import { messageOf } from "../../lib/faults.ts";
import type { Logger } from "../../lib/log.ts";
import type { PluginView } from "../../plugin/index.ts";
import type { Fd } from "../../sys/index.ts";
import { HttpService } from "../listeners/http-listener.ts";
import { debugAnswer } from "./debug-answers.ts";

/** Answers requests to the debug socket until it is closed. Effects: owns the descriptor. */
export function serveDebug(fd: Fd, plugins: PluginView, log: Logger): HttpService {
  return new HttpService(fd, (request, response) => {
    answer(plugins, request, response).catch((error: unknown) => {
      log.warn("debug request", { error: messageOf(error) });
      response.destroy();
    });
  });
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
