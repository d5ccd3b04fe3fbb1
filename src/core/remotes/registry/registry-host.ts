import type { Ctx } from "../../../lib/ctx.ts";
import { type Authorizer, createAuthorizer } from "../auth/authorizer.ts";
import type { HostCapability, HostConfig } from "../hosts/host-config.ts";
import { loadTls, type TlsSettings } from "../hosts/tls-settings.ts";
import type { TransportError } from "../http/transport-error.ts";
import type { Credentials } from "../remotes.ts";

export interface RegistryHostOptions {
  readonly credentials: (ctx: Ctx, host: string) => Promise<Credentials | undefined>;
  readonly now: () => number;
}

/** More origins than this are not led to in earnest. */
const maxOrigins = 64;

/** One host while it is used: where it is, how it is spoken to, what it wants to be told. */
export class RegistryHost {
  readonly config: HostConfig;
  readonly tls: TlsSettings;
  readonly #options: RegistryHostOptions;
  readonly #authorizers = new Map<string, Authorizer>();
  #plain = false;
  #tlsTrouble: TransportError | undefined;

  static async open(ctx: Ctx, config: HostConfig, options: RegistryHostOptions): Promise<RegistryHost> {
    return new RegistryHost(config, await loadTls(config, ctx.log), options);
  }

  constructor(config: HostConfig, tls: TlsSettings, options: RegistryHostOptions) {
    this.config = config;
    this.tls = tls;
    this.#options = options;
  }

  /** The host's name and port. */
  get name(): string {
    return this.config.authority;
  }

  get origin(): URL {
    return new URL(`${this.#plain ? "http" : this.config.scheme}://${this.config.authority}`);
  }

  /** What the host is remembered by. */
  get key(): string {
    return `${this.config.scheme}://${this.config.authority}`;
  }

  can(capability: HostCapability): boolean {
    return this.config.capabilities.has(capability);
  }

  /** Goes over to plain http, TLS having failed so; false where the configuration does not leave that open. */
  fallBack(trouble: TransportError): boolean {
    if (this.config.plainFallback !== true) return false;
    this.#plain = true;
    this.#tlsTrouble ??= trouble;
    return true;
  }

  /** Why it is spoken to in plain http; undefined when it is not, or was meant to be. */
  get tlsTrouble(): TransportError | undefined {
    return this.#tlsTrouble;
  }

  /** An address of the registry's API. */
  url(path: string, query: readonly (readonly [string, string])[] = []): URL {
    const url = this.origin;
    url.pathname = `${this.config.path}/${path}`;
    for (const [key, value] of query) url.searchParams.append(key, value);
    return url;
  }

  /** Who speaks for us at that origin; credentials are for the host itself, never for where it leads to. */
  authorizer(origin: URL): Authorizer {
    const key = origin.origin;
    let found = this.#authorizers.get(key);
    if (found === undefined) {
      if (this.#authorizers.size >= maxOrigins) this.#authorizers.clear();
      const own = key === this.origin.origin;
      const credentials = (ctx: Ctx): Promise<Credentials | undefined> =>
        own ? this.#options.credentials(ctx, this.name) : Promise.resolve(undefined);
      found = createAuthorizer({ origin, tls: this.tls, credentials, now: this.#options.now });
      this.#authorizers.set(key, found);
    }
    return found;
  }
}
