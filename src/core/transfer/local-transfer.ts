import type { Ctx } from "../../lib/ctx.ts";
import type { Descriptor } from "../../lib/descriptor.ts";
import { notImplemented, quote } from "../../lib/faults.ts";
import type { LeaseManager } from "../leases/index.ts";
import type { ContainerCopies } from "./container-copies.ts";
import { underLease } from "./contexts.ts";
import { endpointName } from "./endpoint-names.ts";
import { exportImages } from "./export-images.ts";
import { imageNames } from "./image-references.ts";
import { importImages } from "./import-images.ts";
import { fromWire, saveImages, type TransferParts, verifyImage } from "./parts.ts";
import { pullImage } from "./pull.ts";
import { pushImage } from "./push.ts";
import { listReferrers } from "./referrers.ts";
import type { Endpoint, ExportEndpoint, ImportEndpoint, OnTransferProgress, Transferrer } from "./transfer.ts";

export interface LocalTransferOptions extends TransferParts {
  readonly leases: LeaseManager;
}

/** Makes what transfers between registries, the daemon's stores and clients' streams. */
export function createTransferrer(options: LocalTransferOptions): Transferrer {
  const active = new Set<string>();
  let copies: ContainerCopies | undefined;
  return {
    useContainers: (given) => {
      copies = given;
    },
    transfer: async (ctx, source, destination, onProgress = () => {}) => {
      const copy = copies === undefined ? undefined : copyFor(copies, source, destination, onProgress);
      // Nothing comes into a store: there is nothing to keep.
      if (copy !== undefined) return copy(ctx);
      const action = actionFor(options, source, destination, onProgress);
      if (action === undefined) {
        throw notImplemented(`unable to transfer from ${endpointName(source)} to ${endpointName(destination)}`);
      }
      const pulls = source.kind === "registry" ? source.reference : undefined;
      await underLease(ctx, { leases: options.leases, active, pulls }, action);
    },
    referrers: (ctx, registry, artifactTypes) => listReferrers(ctx, options, registry, artifactTypes),
    unpack: async (ctx, image, snapshotter, progress) => {
      const targets = options.targets.filter((target) => target.snapshotter.name === snapshotter);
      const fetch = async (of: Ctx, { digest }: Descriptor): Promise<void> => void options.content.info(of, digest);
      // Snapshots that nothing refers to yet would be collected before they are done.
      const unpacked = await underLease(ctx, { leases: options.leases, active }, (own) =>
        options.unpacker.unpack(own, image, targets, { fetch }, progress),
      );
      if (!unpacked) throw notImplemented(`unable to unpack the image to snapshotter ${quote(snapshotter)}`);
    },
  };
}

/** Source: containerd core/transfer/local/transfer.go, Transfer. */
function actionFor(
  parts: TransferParts,
  source: Endpoint,
  destination: Endpoint,
  tell: OnTransferProgress,
): ((ctx: Ctx) => Promise<void>) | undefined {
  if (destination.kind === "store") {
    if (source.kind === "registry") return (ctx) => pullImage(ctx, parts, source, destination, tell);
    if (source.kind === "import") return (ctx) => importImages(ctx, parts, source, destination, tell);
    if (source.kind !== "store") return undefined;
    return async (ctx) => {
      const { target } = parts.images.get(ctx, source.name);
      const descriptor = fromWire(target, source.name);
      for (const { name } of imageNames(destination, descriptor, false, parts.clock())) {
        await verifyImage(ctx, parts, "create", name, descriptor);
      }
      await saveImages(ctx, parts, destination, descriptor, false);
    };
  }
  if (source.kind === "store") {
    if (destination.kind === "registry") return (ctx) => pushImage(ctx, parts, source, destination, tell);
    if (destination.kind === "export") return (ctx) => exportImages(ctx, parts, source, destination, tell);
  }
  if (source.kind === "import" && destination.kind === "export") return () => echo(source, destination);
  return undefined;
}

function copyFor(
  copies: ContainerCopies,
  source: Endpoint,
  destination: Endpoint,
  tell: OnTransferProgress,
): ((ctx: Ctx) => Promise<void>) | undefined {
  if (source.kind === "container" && destination.kind === "write") {
    return (ctx) => copies.out(ctx, source, destination, tell);
  }
  if (source.kind === "read" && destination.kind === "container") {
    return (ctx) => copies.into(ctx, source, destination, tell);
  }
  return undefined;
}

/** Sends back what comes. */
async function echo({ bytes }: ImportEndpoint, { sink }: ExportEndpoint): Promise<void> {
  for await (const piece of bytes) await sink.write(piece);
  sink.close();
}
