import type { Ctx } from "../../../lib/ctx.ts";
import { type FaultError, fault, isFault, quote } from "../../../lib/faults.ts";
import type { TlsSettings } from "../hosts/tls-settings.ts";
import type { Credentials } from "../remotes.ts";
import { type Challenge, parseChallenges } from "./challenge.ts";
import { basicAuthorization, requestToken, type Token, type TokenRealm } from "./token-client.ts";

/** Knows what to put into Authorization for one origin, once that has said what it wants. */
export interface Authorizer {
  /** The header's value; undefined while nothing was asked for. Errors: those of the token server. */
  authorization(ctx: Ctx, scopes: readonly string[]): Promise<string | undefined>;
  /**
   * Takes a 401's challenge; true when the request is worth another try.
   * Shape: `sent` is the Authorization that was refused, `refusals` how many of this request's were.
   * Errors: unauthenticated, which says what to do.
   */
  challenged(ctx: Ctx, header: string, sent: string | undefined, refusals: number): Promise<boolean>;
}

export interface AuthorizerOptions {
  readonly origin: URL;
  readonly tls: TlsSettings;
  readonly credentials: (ctx: Ctx) => Promise<Credentials | undefined>;
  readonly now: () => number;
}

type Scheme =
  | { readonly kind: "fixed"; readonly value: string }
  | { readonly kind: "bearer"; readonly realm: TokenRealm; readonly scopes: readonly string[] };

/** Source: containerd core/remotes/docker/authorizer.go; distribution docs/spec/auth. */
export function createAuthorizer(options: AuthorizerOptions): Authorizer {
  return new HostAuthorizer(options);
}

class HostAuthorizer implements Authorizer {
  readonly #options: AuthorizerOptions;
  #scheme: Scheme | undefined;
  /** One request for each set of scopes, whoever waits for it. */
  readonly #tokens = new Map<string, Promise<Token>>();

  constructor(options: AuthorizerOptions) {
    this.#options = options;
  }

  async authorization(ctx: Ctx, scopes: readonly string[]): Promise<string | undefined> {
    const scheme = this.#scheme;
    if (scheme === undefined) return undefined;
    if (scheme.kind === "fixed") return scheme.value;
    const all = mergeScopes([...scopes, ...scheme.scopes]);
    return `Bearer ${(await this.#token(ctx, scheme.realm, all)).value}`;
  }

  async challenged(ctx: Ctx, header: string, sent: string | undefined, refusals: number): Promise<boolean> {
    for (const challenge of parseChallenges(header)) {
      if (challenge.scheme === "bearer") return await this.#bearer(ctx, challenge, sent, refusals);
      if (challenge.scheme === "basic") return await this.#basic(ctx, sent);
    }
    return false;
  }

  async #basic(ctx: Ctx, sent: string | undefined): Promise<boolean> {
    if (sent !== undefined) throw this.#refused("the username or password is wrong");
    const credentials = await this.#options.credentials(ctx);
    const value = fixedValue(credentials);
    if (value === undefined) throw this.#refused("no basic auth credentials: log in first");
    this.#scheme = { kind: "fixed", value };
    return true;
  }

  async #bearer(ctx: Ctx, challenge: Challenge, sent: string | undefined, refusals: number): Promise<boolean> {
    const { parameters } = challenge;
    const before = this.#scheme;
    if (before?.kind === "fixed") throw this.#refused("the Authorization that was configured is refused");
    // A new token may have what the refused one lacked, or have it still; if that is refused too, so will be a third.
    if (sent !== undefined && refusals > 1) {
      throw this.#refused(`server message: ${(parameters.get("error") ?? "the token is refused").slice(0, 64)}`);
    }
    const credentials = before === undefined ? await this.#options.credentials(ctx) : before.realm.credentials;
    if (credentials?.header) {
      this.#scheme = { kind: "fixed", value: credentials.header };
      return true;
    }
    await this.#forget(sent);
    const url = this.#realmUrl(parameters, ctx, credentials);
    const realm = { url, service: parameters.get("service") ?? "", credentials, tls: this.#options.tls };
    const asked = (parameters.get("scope") ?? "").split(" ").filter((scope) => scope !== "");
    this.#scheme = { kind: "bearer", realm, scopes: asked };
    return true;
  }

  /** Lets go of a token that was refused; one that another request has got meanwhile stays. */
  async #forget(sent: string | undefined): Promise<void> {
    for (const [key, request] of this.#tokens) {
      const token = await request.catch(() => undefined); // A request that failed gave no token to forget.
      if (sent === `Bearer ${token?.value}` && this.#tokens.get(key) === request) this.#tokens.delete(key);
    }
  }

  #realmUrl(parameters: ReadonlyMap<string, string>, ctx: Ctx, credentials: Credentials | undefined): URL {
    const realm = parameters.get("realm");
    if (realm === undefined || realm === "") throw this.#refused("no realm specified for token auth challenge");
    const url = URL.parse(realm);
    if (url === null || (url.protocol !== "http:" && url.protocol !== "https:")) {
      throw this.#refused(`invalid token auth challenge realm: ${quote(realm.slice(0, 256))}`);
    }
    if (url.protocol === "http:" && this.#options.origin.protocol === "https:" && credentials?.secret) {
      ctx.log.warn("credentials go to a token server that speaks plain http", { realm: url.origin });
    }
    return url;
  }

  async #token(ctx: Ctx, realm: TokenRealm, scopes: readonly string[]): Promise<Token> {
    const key = scopes.join(" ");
    for (;;) {
      const known = this.#tokens.get(key) ?? this.#request(ctx, realm, scopes, key);
      try {
        const token = await known;
        if (token.expiresAt === undefined || token.expiresAt > this.#options.now()) return token;
        if (this.#tokens.get(key) === known) this.#tokens.delete(key);
      } catch (error) {
        // Whoever asked for it first gave up; we did not.
        if (!isFault(error, "canceled") || ctx.aborted) throw error;
      }
    }
  }

  #request(ctx: Ctx, realm: TokenRealm, scopes: readonly string[], key: string): Promise<Token> {
    const request = requestToken(ctx, realm, scopes, this.#options.now);
    this.#tokens.set(key, request);
    request.catch(() => {
      if (this.#tokens.get(key) === request) this.#tokens.delete(key);
    });
    return request;
  }

  #refused(why: string): FaultError {
    return fault("unauthenticated", `registry host "${this.#options.origin.host}": authorization failed: ${why}`);
  }
}

/**
 * Makes one scope of those that are about the same thing: what is asked for and what the host asked for overlap as a rule.
 * Source: distribution docs/spec/auth/scope.md.
 */
export function mergeScopes(scopes: readonly string[]): readonly string[] {
  const actions = new Map<string, Set<string>>();
  for (const scope of scopes) {
    const colon = scope.lastIndexOf(":");
    const resource = scope.slice(0, Math.max(0, colon));
    const known = actions.get(resource) ?? new Set();
    for (const action of scope.slice(colon + 1).split(",")) known.add(action);
    actions.set(resource, known);
  }
  return [...actions]
    .map(([resource, all]) => `${resource === "" ? "" : `${resource}:`}${[...all].sort().join(",")}`)
    .sort();
}

function fixedValue(credentials: Credentials | undefined): string | undefined {
  if (credentials?.header) return credentials.header;
  const { username = "", secret = "" } = credentials ?? {};
  return username === "" || secret === "" ? undefined : basicAuthorization(username, secret);
}
