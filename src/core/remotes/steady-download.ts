import type { Ctx } from "../../lib/ctx.ts";
import type { Descriptor } from "../../lib/descriptor.ts";
import { fault, wrapFault } from "../../lib/faults.ts";
import { type Backoff, pause, pauseMs } from "./backoff.ts";
import { type BlobPart, openPart } from "./blob-request.ts";
import type { RegistryHost } from "./registry-host.ts";
import type { Repository } from "./repository.ts";
import { TransportError } from "./transport-error.ts";

/** A connection that brought this much was worth it: the count of failures begins anew. */
const worthwhileBytes = 64 * 1024;

export interface SteadyDownloadOptions {
  readonly repository: Repository;
  readonly descriptor: Descriptor;
  readonly backoff: Backoff;
  /** Hosts that are to be passed over; those whose connections break are added. */
  readonly avoid: Set<RegistryHost>;
  /** Whether a host that sends all from the beginning is refused. */
  readonly needsRanges?: boolean | undefined;
  /** Is told which host sends. */
  readonly onHost?: ((host: RegistryHost) => void) | undefined;
}

/** A host does not serve parts of blobs. */
export class RangeIgnored extends Error {}

/**
 * The bytes of a part of a blob, whatever happens to the connections: where one breaks, the next goes on.
 * Shape: exactly as many bytes as the part has.
 * Errors: unavailable (tries without progress), dataLoss (more bytes than there should be), RangeIgnored, those of openPart.
 */
export async function* steadyDownload(
  ctx: Ctx,
  part: BlobPart,
  options: SteadyDownloadOptions,
): AsyncGenerator<Uint8Array> {
  const { repository, descriptor, backoff, avoid } = options;
  let at = part.from;
  let failures = 0;
  while (at < part.to) {
    const start = at;
    let host: RegistryHost | undefined;
    try {
      await using open = await openPart(ctx, repository, descriptor, { from: at, to: part.to }, { avoid });
      if (open.ignoredRange && options.needsRanges === true) throw new RangeIgnored();
      host = open.host;
      options.onHost?.(host);
      // A host that sends all is read no further than the part goes.
      const isBounded = open.ignoredRange && part.to < descriptor.sizeBytes;
      for await (const bytes of open.bytes()) {
        const room = part.to - at;
        if (bytes.length > room && !isBounded) throw overlong(repository, descriptor, host);
        const taken = bytes.length > room ? bytes.subarray(0, room) : bytes;
        at += taken.length;
        yield taken;
        if (isBounded && at === part.to) return;
      }
      if (at < part.to) throw new TransportError(host.origin, `connection ended ${part.to - at} bytes too early`);
    } catch (error) {
      if (!(error instanceof TransportError)) throw error;
      failures = at - start >= worthwhileBytes ? 1 : failures + 1;
      if (error.lasting || failures >= backoff.maxAttempts)
        throw wrapFault(`${repository.spec.text}: ${descriptor.digest}`, error);
      // Another host may have a better line; the registry itself is always left.
      if (host !== undefined && failures > 1) avoid.add(host);
      ctx.log.info("connection broke, going on where it ended", {
        digest: descriptor.digest,
        offset: at,
        error: error.message,
      });
      await pause(pauseMs(backoff, failures), ctx.signal);
    }
  }
}

function overlong(repository: Repository, descriptor: Descriptor, host: RegistryHost): Error {
  const place = `${repository.spec.text}: registry host "${host.name}"`;
  return fault("dataLoss", `${place} sends more than the ${descriptor.sizeBytes} bytes of ${descriptor.digest}`);
}
