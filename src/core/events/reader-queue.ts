import type { Envelope } from "../../gen/containerd/types/event_pb.ts";
import type { BoundedQueue, QueueBounds } from "../../lib/bounded-queue.ts";
import { abortFault, type Ctx } from "../../lib/ctx.ts";
import { isFault } from "../../lib/faults.ts";

/**
 * How far a reader of events may fall behind. Generous: a life of a container is some 8 events of 100 bytes, so this is 8000
 * containers that nobody has read about.
 */
export const readerBounds: QueueBounds = { maxItems: 65536, maxBytes: 64 * 1024 * 1024 };

/** What an envelope takes besides its event's bytes, about. */
const envelopeBytes = 256;

/** What an envelope takes of a reader's bound. */
export function sizeOf({ topic, event }: Envelope): number {
  return envelopeBytes + topic.length + (event?.value.length ?? 0);
}

/** Ends a queue whose reader's context has ended: one that went away needs no word, one whose time is up is told so. */
export function endWith(queue: Pick<BoundedQueue<never>, "close" | "fail">, { signal }: Ctx): void {
  const reason = abortFault(signal);
  if (isFault(reason, "canceled")) queue.close();
  else queue.fail(reason);
}
