import { FaultError, messageOf } from "../../lib/faults.ts";
import type { ImageVerifier, ImageVerifiers } from "./verifiers.ts";

/** Asks each of the verifiers in turn. Source: containerd core/transfer/local/pull.go. */
export function combineVerifiers(verifiers: ReadonlyMap<string, ImageVerifier>): ImageVerifiers {
  return {
    verify: async (ctx, way, name, descriptor) => {
      const what = `${way} of ${name} with digest ${descriptor.digest}`;
      for (const [id, verifier] of verifiers) {
        if (!verifier.judges(way)) continue;
        const { ok, reason } = await verifier.verify(ctx, name, descriptor).catch((error: unknown) => {
          ctx.log.error("no judgement received from verifier", { name, verifier: id, error: messageOf(error) });
          throw new FaultError(
            "unknown",
            `blocking ${what}: image verifier ${id} returned error: ${messageOf(error)}`,
            { cause: error },
          );
        });
        if (ok) continue;
        ctx.log.warn("image verifier blocked an image", { name, digest: descriptor.digest, verifier: id, reason });
        throw new FaultError("unknown", `image verifier ${id} blocked ${what} for reason: ${reason}`);
      }
    },
  };
}
