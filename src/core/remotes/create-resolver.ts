import type { Ctx } from "../../lib/ctx.ts";
import { RegistryFetcher } from "./fetch/registry-fetcher.ts";
import { createHostHealth } from "./hosts/host-health.ts";
import { registryHosts } from "./hosts/registry-hosts.ts";
import { defaultBackoff } from "./http/backoff.ts";
import { RegistryPusher } from "./push/registry-pusher.ts";
import { parseRef } from "./reference.ts";
import { RegistryHost } from "./registry/registry-host.ts";
import { resolveReference } from "./registry/registry-resolver.ts";
import { Repository } from "./registry/repository.ts";
import type { Resolver, ResolverOptions } from "./remotes.ts";

const defaultMaxRanges = 4;

/**
 * Makes a resolver of docker's and OCI's registries; for one errand: it remembers tokens and what hosts it has.
 * Source: containerd core/remotes/docker/resolver.go.
 */
export function createResolver(options: ResolverOptions = {}): Resolver {
  const {
    hostFolders = [],
    defaultScheme = "",
    backoff = defaultBackoff,
    headers = new Map<string, string>(),
  } = options;
  const health = options.health ?? createHostHealth();
  const known = new Map<string, Promise<readonly RegistryHost[]>>();

  const hostsOf = (ctx: Ctx, host: string, ref: string): Promise<readonly RegistryHost[]> => {
    let found = known.get(host);
    if (found === undefined) {
      const credentials = async (of: Ctx, name: string) => options.credentials?.(of, name, ref);
      found = registryHosts(ctx, host, hostFolders, defaultScheme).then((configs) =>
        Promise.all(configs.map((config) => RegistryHost.open(ctx, config, { credentials, now: Date.now }))),
      );
      known.set(host, found);
      found.catch(() => known.delete(host));
    }
    return found;
  };
  const repositoryOf = async (ctx: Ctx, ref: string): Promise<Repository> => {
    const spec = parseRef(ref);
    const hosts = await hostsOf(ctx, spec.host, ref);
    const onWarning = options.onWarning && ((warning: string) => options.onWarning?.(ref, warning));
    return new Repository({ spec, hosts, health, backoff, headers, onHttp: options.onHttp, onWarning });
  };
  return {
    resolve: async (ctx, ref) => ({ name: ref, descriptor: await resolveReference(ctx, await repositoryOf(ctx, ref)) }),
    fetcher: async (ctx, ref) =>
      new RegistryFetcher({
        repository: await repositoryOf(ctx, ref),
        backoff,
        slots: options.downloads,
        chunkBytes: options.chunkBytes ?? 0,
        maxRanges: options.maxRanges ?? defaultMaxRanges,
      }),
    pusher: async (ctx, ref) =>
      new RegistryPusher({
        repository: await repositoryOf(ctx, ref),
        backoff,
        chunkBytes: options.uploadChunkBytes ?? 0,
      }),
  };
}
