import type { IncomingMessage, ServerResponse } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGzip } from "node:zlib";
import { messageOf } from "../../lib/faults.ts";
import type { Logger } from "../../lib/log.ts";
import type { Fd } from "../../sys/index.ts";
import { HttpService } from "../listeners/http-listener.ts";
import { contentType } from "./exposition.ts";
import type { MetricsPage } from "./metrics-page.ts";

/** Pages that are made at once; whoever asks beyond is told to come later. */
const pagesAtOnce = 8;
/** How long one may take, from the question to its last byte: who does not read keeps no place from others for ever. */
const pageLimitMs = 60_000;

/** Serves the page of metrics under containerd's path until it is closed. Effects: owns the descriptor. */
export function serveMetrics(
  fd: Fd,
  page: Pick<MetricsPage, "text" | "sent">,
  log: Logger,
  limitMs: number = pageLimitMs,
): HttpService {
  let underWay = 0;
  return new HttpService(fd, (request, response) => {
    if (request.url?.split("?")[0] !== "/v1/metrics") return refuse(response, 404, "404 page not found\n");
    if (underWay >= pagesAtOnce) {
      page.sent(503);
      return refuse(response, 503, "too many ask for metrics at once\n");
    }
    underWay += 1;
    answer(page.text(), request, response, AbortSignal.timeout(limitMs))
      .then(() => page.sent(200))
      .catch((error: unknown) => {
        page.sent(500);
        log.warn("metrics request", { error: messageOf(error) });
        response.destroy();
      })
      .finally(() => {
        underWay -= 1;
      });
  });
}

function refuse(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { "content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff" });
  response.end(text);
}

async function answer(
  page: AsyncIterable<string>,
  request: IncomingMessage,
  response: ServerResponse,
  signal: AbortSignal,
): Promise<void> {
  const text = Readable.from(page);
  const isPacked = /\bgzip\b/.test(String(request.headers["accept-encoding"] ?? ""));
  response.writeHead(200, { "content-type": contentType, ...(isPacked ? { "content-encoding": "gzip" } : {}) });
  await (isPacked ? pipeline(text, createGzip(), response, { signal }) : pipeline(text, response, { signal }));
}
