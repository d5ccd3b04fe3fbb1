import { abortFault } from "../../../lib/ctx.ts";
import { FaultError, messageOf } from "../../../lib/faults.ts";
import type { TlsSettings } from "../hosts/tls-settings.ts";
import { TransportError, transportError } from "./transport-error.ts";

/** How long a host may take from the end of a request to the head of its answer. Source: containerd's ResponseHeaderTimeout. */
export const answerTimeoutMs = 30_000;
/** How long a body may stand still, either way. */
export const stallTimeoutMs = 60_000;

export interface HttpRequest {
  readonly method: string;
  readonly url: URL;
  readonly headers: Headers;
  readonly body?: Uint8Array | AsyncIterable<Uint8Array> | undefined;
  /** The body's length; what is not known goes in chunks. */
  readonly bodyBytes?: number | undefined;
  readonly tls: TlsSettings;
  readonly signal: AbortSignal;
  readonly answerTimeoutMs?: number | undefined;
  readonly stallTimeoutMs?: number | undefined;
}

/** A host's answer; who takes one disposes it, which ends the body that was not read. */
export interface HttpAnswer extends AsyncDisposable {
  readonly url: URL;
  readonly status: number;
  readonly headers: Headers;
  /** From Content-Length; undefined when the host does not say. */
  readonly bodyBytes: number | undefined;
  /** The body, once. Errors: unavailable (the connection broke or stood still). */
  body(): AsyncIterable<Uint8Array>;
}

/**
 * One request, one answer: redirects, retries and authorization are not its business.
 * Errors: TransportError (kind unavailable); what the signal says.
 * Effects: the body is read at the reader's pace; a broken, silent or overlong connection ends with an error in any case.
 */
export async function sendHttp(request: HttpRequest): Promise<HttpAnswer> {
  const watch = new Watch(request);
  try {
    watch.expect(request.answerTimeoutMs ?? answerTimeoutMs, "no answer");
    const response = await fetch(request.url, {
      method: request.method,
      headers: headersOf(request),
      redirect: "manual",
      decompress: false,
      timeout: false,
      tls: request.tls,
      signal: watch.signal,
      ...(request.body === undefined
        ? {}
        : { body: bodyOf(request.body, watch, request.answerTimeoutMs ?? answerTimeoutMs) }),
    } as RequestInit);
    return new FetchedAnswer(request, response, watch);
  } catch (error) {
    watch[Symbol.dispose]();
    throw watch.explain(error);
  }
}

function headersOf({ headers, bodyBytes }: HttpRequest): Headers {
  const all = new Headers(headers);
  // What is stored is stored as it is: a host that packs it on the way would break digests and ranges.
  if (!all.has("accept-encoding")) all.set("accept-encoding", "identity");
  if (bodyBytes !== undefined) all.set("content-length", String(bodyBytes));
  return all;
}

function bodyOf(
  body: Uint8Array | AsyncIterable<Uint8Array>,
  watch: Watch,
  thenMs: number,
): Uint8Array | AsyncIterable<Uint8Array> {
  if (body instanceof Uint8Array) return body;
  return (async function* () {
    for await (const bytes of body) {
      watch.moved();
      yield bytes;
    }
    watch.expect(thenMs, "no answer");
  })();
}

/** Ends a request that the caller gave up or that stands still, and knows afterwards which of these it was. */
class Watch implements Disposable {
  readonly #controller = new AbortController();
  readonly #request: HttpRequest;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #stalled: string | undefined;
  #answered = false;
  readonly #abort = (): void => this.#controller.abort(this.#request.signal.reason);

  constructor(request: HttpRequest) {
    this.#request = request;
    if (request.signal.aborted) this.#abort();
    else request.signal.addEventListener("abort", this.#abort, { once: true });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Something must happen within that time. */
  expect(timeoutMs: number, what: string): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#stalled = `${what} within ${timeoutMs / 1000}s`;
      this.#controller.abort();
    }, timeoutMs);
  }

  /** Bytes went over: the next ones have as long again. */
  moved(): void {
    this.expect(this.#request.stallTimeoutMs ?? stallTimeoutMs, "connection stood still: nothing came or went");
  }

  /** The host has answered. */
  answered(): void {
    this.#answered = true;
    this.rest();
  }

  /** Nobody waits for the host just now. */
  rest(): void {
    clearTimeout(this.#timer);
  }

  explain(error: unknown): Error {
    if (this.#request.signal.aborted) return abortFault(this.#request.signal);
    if (error instanceof FaultError) return error;
    if (this.#stalled !== undefined) {
      // A host that waits for a line of text does not answer a TLS greeting.
      const notTls = !this.#answered && this.#request.url.protocol === "https:";
      return new TransportError(this.#request.url, this.#stalled, { cause: error, notTls });
    }
    return transportError(this.#request.url, error);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#request.signal.removeEventListener("abort", this.#abort);
    this.#controller.abort();
  }
}

class FetchedAnswer implements HttpAnswer {
  readonly url: URL;
  readonly status: number;
  readonly headers: Headers;
  readonly bodyBytes: number | undefined;
  readonly #response: Response;
  readonly #watch: Watch;

  constructor(request: HttpRequest, response: Response, watch: Watch) {
    this.url = request.url;
    this.status = response.status;
    this.headers = response.headers;
    const length = response.headers.get("content-length") ?? "";
    this.bodyBytes = /^\d{1,15}$/.test(length) ? Number(length) : undefined;
    this.#response = response;
    this.#watch = watch;
    watch.answered();
  }

  async *body(): AsyncGenerator<Uint8Array> {
    const reader = this.#response.body?.getReader();
    if (reader === undefined) return;
    try {
      for (;;) {
        this.#watch.moved();
        const { done, value } = await reader.read();
        this.#watch.rest();
        if (done) return;
        yield value;
      }
    } catch (error) {
      throw this.#watch.explain(error);
    } finally {
      await reader.cancel().catch(() => {
        // The reader of an ended body has nothing to cancel.
      });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { body } = this.#response;
    // A short body is read to its end, so that the connection can be used again.
    if (body !== null && !body.locked && (this.bodyBytes ?? Number.POSITIVE_INFINITY) <= 4096) {
      await this.#response.arrayBuffer().catch((error: unknown) => messageOf(error));
    }
    this.#watch[Symbol.dispose]();
  }
}
