import { type Clock, systemClock } from "../../lib/clock.ts";
import type { Logger } from "../../lib/log.ts";
import type { PluginView } from "../../plugin/index.ts";
import type { Exchange } from "../events/index.ts";
import type { Collectable } from "../gc/index.ts";
import type { LeaseManager } from "../leases/index.ts";
import type { Metadata } from "../metadata/index.ts";
import type { NamespaceStore } from "../namespaces/index.ts";
import type { Checkable } from "../system/index.ts";
import { contentLayout } from "./blob-files.ts";
import type { ContentStore } from "./content.ts";
import { ContentInternals } from "./local-content-store.ts";
import { recoverContent } from "./recovery.ts";

export interface ContentStoreOptions {
  /** The folder of `blobs` and `ingest`; made when it is not there. */
  readonly root: string;
  readonly metadata: Metadata;
  readonly exchange: Exchange;
  readonly leases: LeaseManager;
  readonly log: Logger;
  readonly clock?: Clock | undefined;
  /**
   * Whether naming the digest of content of another namespace is enough to have it (shared, containerd's default), or only
   * where that namespace says so itself by its label.
   */
  readonly sharingPolicy?: "shared" | "isolated" | undefined;
  /** Needed for the policy `isolated`: where the label is looked up. */
  readonly namespaces?: Pick<NamespaceStore, "labels"> | undefined;
}

/** A store that this daemon keeps itself, with what garbage collection may collect there. */
export type OwnContentStore = ContentStore &
  AsyncDisposable &
  Checkable & { readonly collectables: readonly Collectable[] };

/** Source: containerd pkg/labels/labels.go, LabelSharedNamespace. */
const shareableLabel = "containerd.io/namespace.shareable";

/**
 * Opens the content store.
 * Effects: finishes what an earlier run left undone; disposing waits for removals that are under way.
 */
export async function openContentStore(options: ContentStoreOptions): Promise<OwnContentStore> {
  const { metadata, exchange, leases, log, namespaces, clock = systemClock } = options;
  const layout = contentLayout(options.root);
  const ingests = await recoverContent({ layout, metadata });
  const isolated = options.sharingPolicy === "isolated";
  const isShared = (namespace: string): boolean => !isolated || isShareable(namespaces, namespace);
  const store = new ContentInternals({ layout, metadata, exchange, leases, log, clock, ingests, isShared });
  store.removeNoted();
  return store;
}

/** Whether a namespace says of itself that others may have its content by naming it. */
export function isShareable(namespaces: ContentStoreOptions["namespaces"], namespace: string): boolean {
  return namespaces?.labels(namespace).get(shareableLabel) === "true";
}

/** The policy is a setting of the metadata plugin, as in containerd. */
export function sharingPolicyOf(plugins: PluginView): "shared" | "isolated" {
  const policy = plugins.find("io.containerd.metadata.v1", "bolt")?.meta.exports.get("policy");
  return policy === "isolated" ? "isolated" : "shared";
}
