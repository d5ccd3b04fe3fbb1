import type { Ctx } from "../../lib/ctx.ts";
import { fault, quote } from "../../lib/faults.ts";
import { createHostHealth } from "./hosts/host-health.ts";
import { registryHosts } from "./hosts/registry-hosts.ts";
import { defaultBackoff } from "./http/backoff.ts";
import { parseRef } from "./reference.ts";
import { RegistryHost } from "./registry/registry-host.ts";
import { Repository } from "./registry/repository.ts";
import type { ResolverOptions } from "./remotes.ts";

/**
 * Finds out whether a registry lets one in: what a login is about.
 * Shape: `host` is the registry's name and port; its mirrors are not asked.
 * Errors: unauthenticated (it does not know one), unavailable, notFound (no registry there); each names the host.
 */
export async function checkAccess(ctx: Ctx, host: string, options: ResolverOptions): Promise<void> {
  // A name that is fit for a reference is fit for an address.
  const spec = { ...parseRef(`${host}/x`), text: host };
  const {
    hostFolders = [],
    defaultScheme = "",
    backoff = defaultBackoff,
    headers = new Map<string, string>(),
  } = options;
  const configs = await registryHosts(ctx, host, hostFolders, defaultScheme);
  const config = configs.at(-1);
  if (config === undefined) throw fault("notFound", `registry ${quote(host)}: no host is configured`);
  const credentials = async (of: Ctx, name: string) => options.credentials?.(of, name, host);
  const registry = await RegistryHost.open(ctx, config, { credentials, now: Date.now });
  const health = createHostHealth();
  const { onHttp } = options;
  const repository = new Repository({
    spec,
    hosts: [registry],
    health,
    backoff,
    headers,
    onHttp,
    onWarning: undefined,
  });
  await using answer = await repository.send(ctx, registry, {
    method: "GET",
    url: registry.url(""),
    scopes: [],
    isLast: true,
  });
  if (answer.status === 200) return;
  if (answer.status === 404) throw fault("notFound", `${host}: there is no registry`);
  throw await repository.refused({ method: "GET" }, answer);
}
