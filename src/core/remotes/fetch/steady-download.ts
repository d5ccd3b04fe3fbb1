import type { Ctx } from "../../../lib/ctx.ts";
import type { Descriptor } from "../../../lib/descriptor.ts";
import { fault, wrapFault } from "../../../lib/faults.ts";
import { pause } from "../../../lib/pause.ts";
import { type Backoff, pauseMs } from "../http/backoff.ts";
import { TransportError } from "../http/transport-error.ts";
import type { RegistryHost } from "../registry/registry-host.ts";
import type { Repository } from "../registry/repository.ts";
import { type BlobPart, openPart } from "./blob-request.ts";

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

interface Course {
  at: number;
  /** Connections in a row that brought too little. */
  failures: number;
  host: RegistryHost | undefined;
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
  const course: Course = { at: part.from, failures: 0, host: undefined };
  while (course.at < part.to) {
    const start = course.at;
    try {
      yield* oneConnection(ctx, part, options, course);
    } catch (error) {
      if (!(error instanceof TransportError)) throw error;
      course.failures = course.at - start >= worthwhileBytes ? 1 : course.failures + 1;
      await recover(ctx, options, course, error);
    }
  }
}

/** What one connection brings. */
async function* oneConnection(
  ctx: Ctx,
  { to }: BlobPart,
  options: SteadyDownloadOptions,
  course: Course,
): AsyncGenerator<Uint8Array> {
  const { repository, descriptor, avoid } = options;
  await using open = await openPart(ctx, repository, descriptor, { from: course.at, to }, { avoid });
  if (open.ignoredRange && options.needsRanges === true) throw new RangeIgnored();
  course.host = open.host;
  options.onHost?.(open.host);
  // A host that sends all is read no further than the part goes.
  const isBounded = open.ignoredRange && to < descriptor.sizeBytes;
  for await (const bytes of open.bytes()) {
    const room = to - course.at;
    if (bytes.length > room && !isBounded) throw overlong(repository, descriptor, open.host);
    const taken = bytes.length > room ? bytes.subarray(0, room) : bytes;
    course.at += taken.length;
    yield taken;
    if (isBounded && course.at === to) return;
  }
  if (course.at < to) throw new TransportError(open.host.origin, `connection ended ${to - course.at} bytes too early`);
}

/** Waits for another try, if there is to be one. */
async function recover(ctx: Ctx, options: SteadyDownloadOptions, course: Course, error: TransportError): Promise<void> {
  const { repository, descriptor, backoff, avoid } = options;
  if (error.lasting || course.failures >= backoff.maxAttempts) {
    throw wrapFault(`${repository.spec.text}: ${descriptor.digest}`, error);
  }
  // Another host may have a better line.
  if (course.host !== undefined && course.failures > 1) avoid.add(course.host);
  const fields = { digest: descriptor.digest, offset: course.at, error: error.message };
  ctx.log.info("connection broke, going on where it ended", fields);
  await pause(pauseMs(backoff, course.failures), ctx.signal);
}

function overlong(repository: Repository, descriptor: Descriptor, host: RegistryHost): Error {
  const place = `${repository.spec.text}: registry host "${host.name}"`;
  return fault("dataLoss", `${place} sends more than the ${descriptor.sizeBytes} bytes of ${descriptor.digest}`);
}
