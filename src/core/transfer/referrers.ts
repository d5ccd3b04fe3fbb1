import type { Ctx } from "../../lib/ctx.ts";
import type { Descriptor } from "../../lib/descriptor.ts";
import { wrapFault } from "../../lib/faults.ts";
import { createResolver } from "../remotes/index.ts";
import type { TransferParts } from "./parts.ts";
import type { RegistryEndpoint } from "./transfer.ts";

/** An image of a registry's, and what refers to it there. */
export interface Referrers {
  readonly subject: Descriptor;
  readonly referrers: readonly Descriptor[];
}

/** Asks a registry what refers to an image. Errors: as a pull's. */
export async function listReferrers(
  ctx: Ctx,
  { resolverOptions }: Pick<TransferParts, "resolverOptions">,
  registry: RegistryEndpoint,
  artifactTypes: readonly string[],
): Promise<Referrers> {
  const resolver = createResolver(resolverOptions(registry));
  const { name, descriptor } = await resolver.resolve(ctx, registry.reference).catch((error: unknown) => {
    throw wrapFault("failed to resolve image", error);
  });
  const fetcher = await resolver.fetcher(ctx, name);
  return { subject: descriptor, referrers: await fetcher.fetchReferrers(ctx, descriptor.digest, artifactTypes) };
}
