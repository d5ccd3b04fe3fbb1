import { type Digest, digestOf } from "../../lib/digest.ts";

/** For each layer the name of the snapshot that holds it and those below it. Source: OCI image-spec, config.md, layer ChainID. */
export function chainIds(diffIds: readonly Digest[]): Digest[] {
  const chain: Digest[] = [];
  for (const diffId of diffIds) {
    const below = chain.at(-1);
    chain.push(below === undefined ? diffId : digestOf(`${below} ${diffId}`));
  }
  return chain;
}
