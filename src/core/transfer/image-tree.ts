import type { Ctx } from "../../lib/ctx.ts";
import type { Descriptor } from "../../lib/descriptor.ts";
import { invalidArgument, notFound } from "../../lib/faults.ts";
import { isConfigType, isIndexType, isManifestType } from "../../lib/media-types.ts";
import { allPlatforms, orderedPlatforms, type PlatformMatcher } from "../../lib/platforms.ts";
import type { ContentStore } from "../content/index.ts";
import { childLabels, childrenIn, maxDocumentBytes } from "../oci/index.ts";
import type { StoreEndpoint } from "./transfer.ts";

/** Indexes in indexes deeper than this are not meant. */
export const maxDepth = 8;

/** Reads a document whole. Errors: notFound, invalidArgument when it is too large for one. */
export async function readDocument(
  ctx: Ctx,
  content: ContentStore,
  { digest }: Pick<Descriptor, "digest">,
): Promise<Uint8Array> {
  const { sizeBytes } = content.info(ctx, digest);
  if (sizeBytes > maxDocumentBytes)
    throw invalidArgument(`blob ${digest} of ${sizeBytes} bytes is too large for a document`);
  const parts: Uint8Array[] = [];
  for await (const piece of content.read(ctx, digest)) parts.push(piece.slice());
  return Buffer.concat(parts);
}

/** What a document in the store refers to. Errors: notFound, invalidArgument. */
export async function childrenOf(
  ctx: Ctx,
  content: ContentStore,
  descriptor: Descriptor,
): Promise<readonly Descriptor[]> {
  if (!isManifestType(descriptor.mediaType) && !isIndexType(descriptor.mediaType)) return [];
  return childrenIn(await readDocument(ctx, content, descriptor), descriptor);
}

/** Which of an image's parts are wanted. */
export interface TreeFilter {
  readonly platform: PlatformMatcher;
  readonly allMetadata: boolean;
  readonly manifestLimit: number;
}

export function filterOf({ platforms, allMetadata, manifestLimit }: StoreEndpoint): TreeFilter {
  return {
    platform: platforms.length === 0 ? allPlatforms : orderedPlatforms(platforms),
    allMetadata,
    manifestLimit,
  };
}

/**
 * Labels a document with all that it refers to, and answers what of it is wanted.
 * Errors: notFound when an index has nothing for the platform and a limited number is wanted.
 * Source: containerd core/transfer/image/imagestore.go, ImageFilter; core/images/handlers.go, LimitManifests.
 */
export async function labelledChildren(
  ctx: Ctx,
  content: ContentStore,
  descriptor: Descriptor,
  all: readonly Descriptor[],
  filter: TreeFilter,
): Promise<readonly Descriptor[]> {
  if (all.length > 0) {
    const labels = childLabels(all);
    await content.update(
      ctx,
      { digest: descriptor.digest, labels },
      [...labels.keys()].map((key) => `labels.${key}`),
    );
  }
  return wantedChildren(descriptor, all, filter);
}

function wantedChildren(descriptor: Descriptor, all: readonly Descriptor[], filter: TreeFilter): readonly Descriptor[] {
  const { platform, allMetadata, manifestLimit } = filter;
  const fits = (one: Descriptor): boolean => one.platform === undefined || platform.matches(one.platform);
  if (isManifestType(descriptor.mediaType)) {
    // Of another platform only what tells of it.
    return allMetadata && !fits(descriptor) ? all.filter(({ mediaType }) => isConfigType(mediaType)) : all;
  }
  const wanted = allMetadata ? all : all.filter(fits);
  if (!isIndexType(descriptor.mediaType) || manifestLimit <= 0) return wanted;
  if (wanted.length === 0) throw notFound("no match for platform in manifest");
  return sorted(wanted, platform).slice(0, manifestLimit);
}

/** The best match first; what says no platform comes last. */
export function sorted(descriptors: readonly Descriptor[], platform: PlatformMatcher): readonly Descriptor[] {
  return descriptors.toSorted((a, b) => {
    if (a.platform === undefined) return b.platform === undefined ? 0 : 1;
    return b.platform === undefined ? -1 : platform.compare(a.platform, b.platform);
  });
}
