import type { Ctx } from "../../../lib/ctx.ts";
import { FaultError, fault, isFault, wrapFault } from "../../../lib/faults.ts";
import { pause } from "../../../lib/pause.ts";
import type { HostCapability } from "../hosts/host-config.ts";
import type { HostHealth } from "../hosts/host-health.ts";
import { type Backoff, longestRetryAfterMs, pauseMs, retryAfterMs } from "../http/backoff.ts";
import { dial, isProxied, mirrorDialTimeoutMs } from "../http/dial.ts";
import type { HttpAnswer } from "../http/http-client.ts";
import { TransportError } from "../http/transport-error.ts";
import type { RefSpec } from "../reference.ts";
import { deniedBy, Exchange, type ExchangeOptions, type HostRequest } from "./exchange.ts";
import { statusError } from "./registry-error.ts";
import type { RegistryHost } from "./registry-host.ts";

export interface RepositoryOptions extends ExchangeOptions {
  /** The registry itself is the last. */
  readonly hosts: readonly RegistryHost[];
  readonly health: HostHealth;
  readonly backoff: Backoff;
}

/** How far a request has come. */
interface Course {
  attempt: number;
  /** How often it was asked for authorization, and how often that was refused. */
  challenges: number;
  refusals: number;
  method: string;
  url: URL;
}

const passingStatuses: ReadonlySet<number> = new Set([408, 429, 500, 502, 503, 504]);

/** A repository at the hosts that have it: requests with authorization, redirects and new tries. */
export class Repository {
  readonly spec: RefSpec;
  readonly hosts: readonly RegistryHost[];
  readonly #options: RepositoryOptions;
  readonly #exchange: Exchange;

  constructor(options: RepositoryOptions) {
    this.spec = options.spec;
    this.hosts = options.hosts;
    this.#options = options;
    this.#exchange = new Exchange(options);
  }

  /** The hosts that can do all of this, in order. */
  hostsFor(...capabilities: readonly HostCapability[]): readonly RegistryHost[] {
    return this.hosts.filter((host) => capabilities.every((one) => host.can(one)));
  }

  scope(actions: "pull" | "pull,push"): string {
    return `repository:${this.spec.repository}:${actions}`;
  }

  /** An address in this repository at that host, which is told which registry it stands in for. */
  url(host: RegistryHost, path: string, query: readonly (readonly [string, string])[] = []): URL {
    const registry = this.spec.host === "docker.io" ? "registry-1.docker.io" : this.spec.host;
    const isProxy = host.name !== registry && host.name !== this.spec.host;
    return host.url(`${this.spec.repository}/${path}`, isProxy ? [...query, ["ns", this.spec.host]] : query);
  }

  /**
   * Asks one host after the other until one has an answer that is taken.
   * Shape: `ask` throws for what the next host may do better; hosts that lately did not answer are passed over.
   * Errors: the one that got furthest, naming the reference.
   */
  async anyOf<T>(
    ctx: Ctx,
    hosts: readonly RegistryHost[],
    ask: (host: RegistryHost, isLast: boolean) => Promise<T>,
  ): Promise<T> {
    let worst: unknown;
    for (const [at, host] of hosts.entries()) {
      const isLast = at === hosts.length - 1;
      if (!isLast && !this.#options.health.admits(host.key)) continue;
      try {
        return await ask(host, isLast);
      } catch (error) {
        if (ctx.aborted || !(error instanceof FaultError)) throw error;
        if (!isLast) ctx.log.info("trying next host", { host: host.name, error: error.message });
        if (worst === undefined || weight(error) > weight(worst)) worst = error;
      }
    }
    throw worst ?? fault("notFound", `${this.spec.text}: no host is configured for this`);
  }

  /**
   * Sends a request until its answer is final: authorized where asked to, tried again where that may help.
   * Errors: TransportError, unauthenticated, resourceExhausted (asked to wait for too long).
   */
  async send(ctx: Ctx, host: RegistryHost, request: HostRequest): Promise<HttpAnswer> {
    const course: Course = { attempt: 1, challenges: 0, refusals: 0, method: request.method, url: request.url };
    for (;;) {
      const next = await this.#attempt(ctx, host, request, course);
      if (typeof next !== "number") return next;
      if (next === 0) continue;
      ctx.log.debug("registry request is tried again", {
        host: host.name,
        attempt: course.attempt,
        waitMs: Math.round(next),
      });
      await pause(next, ctx.signal);
      course.attempt++;
    }
  }

  /** One try: the final answer, or how long to wait before the next; 0 when that is a step forward and no repetition. */
  async #attempt(ctx: Ctx, host: RegistryHost, request: HostRequest, course: Course): Promise<HttpAnswer | number> {
    const { health } = this.#options;
    const { method, url } = course;
    try {
      await this.#reach(host, request.isLast);
      const { answer, sent } = await this.#exchange.run(ctx, host, { ...request, method, url });
      health.succeeded(host.key);
      return await this.#judge(ctx, host, request, course, answer, sent);
    } catch (error) {
      if (!(error instanceof TransportError)) throw error;
      if (error.notTls && url.protocol === "https:" && url.host === host.origin.host && host.fallBack(error)) {
        course.url = new URL(url);
        course.url.protocol = "http:";
        return 0;
      }
      if (error.host === host.origin.host) health.failed(host.key);
      if (error.lasting || !this.#mayRepeat(request, course)) throw wrapFault(this.spec.text, error);
      return pauseMs(this.#options.backoff, course.attempt);
    }
  }

  /** Says what an answer means for the request. */
  async #judge(
    ctx: Ctx,
    host: RegistryHost,
    request: HostRequest,
    course: Course,
    answer: HttpAnswer,
    sent: string | undefined,
  ): Promise<HttpAnswer | number> {
    if (answer.status === 400 && host.tlsTrouble !== undefined && answer.url.origin === host.origin.origin) {
      // It does speak TLS, and was asked in plain text because something else was wrong with that.
      await answer[Symbol.asyncDispose]();
      throw wrapFault(this.spec.text, host.tlsTrouble);
    }
    if (answer.status === 401) {
      course.challenges++;
      if (sent !== undefined) course.refusals++;
      const again = await this.#authorize(ctx, host, answer, sent, course.refusals);
      return again && course.challenges <= this.#options.backoff.maxAttempts ? 0 : answer;
    }
    if (answer.status === 405 && course.method === "HEAD" && course.url.pathname.includes("/manifests/")) {
      // Some hosts have no HEAD there.
      course.method = "GET";
      await answer[Symbol.asyncDispose]();
      return 0;
    }
    if (!passingStatuses.has(answer.status) || !this.#mayRepeat(request, course)) return answer;
    await answer[Symbol.asyncDispose]();
    return this.#patience(host, answer, pauseMs(this.#options.backoff, course.attempt));
  }

  #mayRepeat({ isLast }: HostRequest, { attempt }: Course): boolean {
    return isLast && attempt < this.#options.backoff.maxAttempts;
  }

  /** The error of an answer that is not what was asked for. */
  refused(request: Pick<HostRequest, "method">, answer: HttpAnswer): Promise<FaultError> {
    return statusError(request.method, answer, this.spec.text);
  }

  /** Where another host could be asked, one that cannot be reached must not cost more than a short time-out. */
  async #reach(host: RegistryHost, isLast: boolean): Promise<void> {
    const { dialTimeoutMs } = host.config;
    if ((isLast && dialTimeoutMs === undefined) || isProxied(host.origin, process.env)) return;
    await this.#options.health.reach(host.key, () => dial(host.origin, dialTimeoutMs ?? mirrorDialTimeoutMs));
  }

  async #authorize(
    ctx: Ctx,
    host: RegistryHost,
    answer: HttpAnswer,
    sent: string | undefined,
    refusals: number,
  ): Promise<boolean> {
    const challenge = answer.headers.get("www-authenticate") ?? "";
    const authorizer = host.authorizer(answer.url);
    const again = await authorizer
      .challenged(ctx, challenge, sent, refusals)
      .catch((error: unknown) => deniedBy(this.spec, error));
    if (again) await answer[Symbol.asyncDispose]();
    return again;
  }

  #patience(host: RegistryHost, answer: HttpAnswer, otherwise: number): number {
    const asked = retryAfterMs(answer.headers.get("retry-after"), Date.now());
    if (asked === undefined) return otherwise;
    if (asked <= longestRetryAfterMs) return Math.max(asked, otherwise);
    const kind = answer.status === 429 ? "resourceExhausted" : "unavailable";
    throw fault(
      kind,
      `${this.spec.text}: registry host "${host.name}" asks to come back in ${Math.ceil(asked / 1000)}s`,
    );
  }
}

/** How far a request came before it failed. Source: containerd core/remotes/docker/resolver.go, firstErrPriority. */
function weight(error: unknown): number {
  if (error instanceof TransportError || (error instanceof FaultError && error.cause instanceof TransportError))
    return 1;
  return isFault(error, "notFound") ? 2 : 3;
}
