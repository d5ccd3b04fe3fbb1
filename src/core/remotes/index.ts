export { checkAccess } from "./check-access.ts";
export { createResolver } from "./create-resolver.ts";
export { distributionSource } from "./distribution-source.ts";
export { createHostHealth, type HostHealth } from "./hosts/host-health.ts";
export type { Backoff } from "./http/backoff.ts";
export { makeRefKey } from "./ref-key.ts";
export { parseRef } from "./reference.ts";
export type {
  Credentials,
  CredentialsSource,
  Descriptor,
  Fetcher,
  FetchIntoOptions,
  FetchOptions,
  OnProgress,
  Pusher,
  PushOptions,
  PushOutcome,
  PushSource,
  Resolved,
  Resolver,
  ResolverOptions,
} from "./remotes.ts";
