import type { RefSpec } from "./reference.ts";

const prefix = "containerd.io/distribution.source.";

/**
 * The label that remembers from which repositories of a registry a blob came: its key, and its value with one more.
 * Shape: the value lists repositories, sorted and separated by commas.
 * Source: containerd core/remotes/docker/handler.go, AppendDistributionSourceLabel.
 */
export function distributionSource(spec: RefSpec, value: string | undefined): readonly [string, string] {
  const repositories = new Set([...(value ?? "").split(","), spec.repository].filter((one) => one !== ""));
  return [`${prefix}${sourceName(spec)}`, [...repositories].sort().join(",")];
}

/**
 * The repository from which a blob is best mounted: the one whose path has most in common with the target's.
 * Source: containerd core/remotes/docker/handler.go, selectRepositoryMountCandidate.
 */
export function mountCandidate(
  spec: RefSpec,
  annotations: ReadonlyMap<string, string> | undefined,
): string | undefined {
  const value = annotations?.get(`${prefix}${sourceName(spec)}`) ?? "";
  const target = spec.repository.split("/");
  let best: string | undefined;
  let longest = 0;
  for (const one of value.split(",")) {
    if (one === "" || one === spec.repository || !/^[A-Za-z0-9._~/-]+$/.test(one)) continue;
    const parts = one.split("/");
    const differs = parts.findIndex((part, at) => part !== target[at]);
    const common = differs === -1 ? parts.length : differs;
    if (common < longest) continue;
    longest = common;
    best = one;
  }
  return best;
}

/** The host without its port, as the label's key has it. */
function sourceName({ host }: RefSpec): string {
  return host.replace(/:\d+$/, "").replace(/^\[|\]$/g, "");
}
