import { mkdir, rm } from "node:fs/promises";
import type { Content } from "../../../gen/containerd/services/content/v1/content_pb.ts";
import { systemClock } from "../../../lib/clock.ts";
import type { ServiceClient } from "../../../wire/service.ts";
import type { Collectable } from "../../gc/index.ts";
import type { ContentStore } from "../content.ts";
import { type ContentStoreOptions, isShareable } from "../open-content-store.ts";
import { createContentBackend } from "./backend.ts";
import { RemoteContent } from "./remote-content.ts";
import { RemoteRemovals } from "./remote-removals.ts";

export interface RemoteContentStoreOptions extends Omit<ContentStoreOptions, "root"> {
  readonly name: string;
  /** A folder of the store's own, for bytes that workers read as a file; emptied and made here. */
  readonly spool: string;
  /** Connects on first use, and again when the connection is gone. */
  readonly connect: () => Promise<ServiceClient<typeof Content>>;
}

/** A store whose bytes another process keeps, with what garbage collection may collect there. */
export type RemoteContentStore = ContentStore & AsyncDisposable & { readonly collectables: readonly Collectable[] };

/** Opens a store that another process serves by containerd's own API. Effects: none there before it is used. */
export async function openRemoteContentStore(options: RemoteContentStoreOptions): Promise<RemoteContentStore> {
  const { name, spool, connect, metadata, log, namespaces, clock = systemClock } = options;
  await rm(spool, { recursive: true, force: true });
  await mkdir(spool, { recursive: true, mode: 0o700 });
  const backend = createContentBackend(connect);
  return new RemoteContent({
    ...options,
    clock,
    backend,
    removals: ({ mutex }) => new RemoteRemovals({ proxy: name, backend, metadata, mutex, log }),
    isShared: options.sharingPolicy !== "isolated",
    isShareable: (namespace) => isShareable(namespaces, namespace),
  });
}
