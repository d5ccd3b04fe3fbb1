import type { Ctx } from "../../../lib/ctx.ts";
import { FaultError, invalidArgument, quote, wrapFault } from "../../../lib/faults.ts";
import { userAgent } from "../http/headers.ts";
import { type HttpAnswer, sendHttp } from "../http/http-client.ts";
import { TransportError } from "../http/transport-error.ts";
import { parseWarnings } from "../http/warnings.ts";
import type { RefSpec } from "../reference.ts";
import { shownUrl } from "./registry-error.ts";
import type { RegistryHost } from "./registry-host.ts";

export interface ExchangeOptions {
  readonly spec: RefSpec;
  readonly headers: ReadonlyMap<string, string>;
  readonly onHttp: ((line: string) => void) | undefined;
  readonly onWarning: ((warning: string) => void) | undefined;
}

/** A request to one of the hosts. */
export interface HostRequest {
  readonly method: string;
  readonly url: URL;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly scopes: readonly string[];
  /** Made anew for each try. */
  readonly body?: (() => Uint8Array | AsyncIterable<Uint8Array>) | undefined;
  readonly bodyBytes?: number | undefined;
  /** No other host can be asked: failures that may pass are tried again here. */
  readonly isLast: boolean;
  /** What comes is checked against a digest: then it may come from anywhere, in plain text too. */
  readonly isChecked?: boolean | undefined;
}

const maxRedirects = 10;
/** A host that has got all of a blob may have to read all of it again before it says so. */
const digestingTimeoutMs = 300_000;

/** One request and its answer, with authorization and redirects. */
export class Exchange {
  readonly #options: ExchangeOptions;

  constructor(options: ExchangeOptions) {
    this.#options = options;
  }

  /** Sends a request and goes where its answer leads; what is secret goes to the host itself only. */
  async run(
    ctx: Ctx,
    host: RegistryHost,
    request: HostRequest,
  ): Promise<{ answer: HttpAnswer; sent: string | undefined }> {
    const { spec, onHttp, onWarning } = this.#options;
    const denied = (error: unknown): never => deniedBy(spec, error);
    let { url } = request;
    for (let hops = 0; ; hops++) {
      const own = url.origin === host.origin.origin;
      const headers = this.#headers(host, request, own);
      let sent = headers.get("authorization") ?? undefined;
      if (sent === undefined) {
        sent = await host.authorizer(url).authorization(ctx, request.scopes).catch(denied);
        if (sent !== undefined) headers.set("authorization", sent);
      }
      const body = request.body?.();
      const { method, bodyBytes } = request;
      onHttp?.(`> ${method} ${shownUrl(url)}`);
      const answer = await sendHttp({
        method,
        url,
        headers,
        body,
        bodyBytes,
        tls: host.tls,
        signal: ctx.signal,
        answerTimeoutMs: method === "PUT" ? digestingTimeoutMs : undefined,
      });
      onHttp?.(`< ${answer.status} ${shownUrl(url)}`);
      for (const warning of parseWarnings(answer.headers.get("warning"))) onWarning?.(warning);
      const next = this.#redirect(request, answer);
      if (next === undefined) return { answer, sent };
      await answer[Symbol.asyncDispose]();
      if (hops >= maxRedirects) throw this.#misled(url, `stopped after ${maxRedirects} redirects`);
      url = next;
    }
  }

  /** Errors: invalidArgument (a configured header that cannot be sent). */
  #headers(host: RegistryHost, request: HostRequest, own: boolean): Headers {
    try {
      const headers = new Headers({ "user-agent": userAgent });
      if (own) {
        for (const [name, value] of this.#options.headers) headers.set(name, value);
        for (const [name, values] of host.config.headers) {
          headers.delete(name);
          for (const value of values) headers.append(name, value);
        }
      }
      for (const [name, value] of Object.entries(request.headers ?? {})) headers.set(name, value);
      return headers;
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      throw invalidArgument(`${this.#options.spec.text}: header: ${error.message}`, { cause: error });
    }
  }

  #redirect(request: HostRequest, answer: HttpAnswer): URL | undefined {
    const { status, url } = answer;
    const isRead = request.method === "GET" || request.method === "HEAD";
    const leads = status === 307 || status === 308 || (isRead && [301, 302, 303].includes(status));
    const location = answer.headers.get("location");
    if (!leads || location === null) return undefined;
    const next = URL.parse(location, url.href);
    if (next === null || (next.protocol !== "http:" && next.protocol !== "https:")) {
      throw this.#misled(url, `leads to ${quote(location.slice(0, 256))}, which is no web address`);
    }
    if (url.protocol === "https:" && next.protocol === "http:" && request.isChecked !== true) {
      throw this.#misled(url, `leads from https to plain http at ${quote(next.host)}, which is not followed`);
    }
    next.username = "";
    next.password = "";
    return next;
  }

  #misled(url: URL, why: string): FaultError {
    return new FaultError("failedPrecondition", `${this.#options.spec.text}: registry host "${url.host}" ${why}`);
  }
}

/** What a token server says becomes what is said of the reference. */
export function deniedBy({ text }: RefSpec, error: unknown): never {
  if (!(error instanceof FaultError) || error instanceof TransportError || error.kind === "canceled") throw error;
  throw wrapFault(`${text}: access denied`, error);
}
