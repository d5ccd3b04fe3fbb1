export { makeRefKey } from "./ref-key.ts";
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
