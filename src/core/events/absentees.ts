import type { Envelope } from "../../gen/containerd/types/event_pb.ts";
import type { Returning } from "./exchange.ts";

/** What is kept for subscribers that are about to come back to a new daemon. */
export interface Absentees {
  /** How many are still waited for. */
  readonly awaited: number;
  /** All are: nobody has been told anything that was kept. */
  readonly isUntold: boolean;
  /** Keeps an event while somebody is waited for; answers whether it did. */
  keep(envelope: Envelope): boolean;
  /** One has come, or a stranger who is taken for one: what it missed, in order. */
  comeBack(): readonly Envelope[];
}

/**
 * Keeps events for subscribers whom a predecessor cut off, so that each gets all of them once: what comes before its new
 * subscription it gets with that.
 * Shape: until all have come, the time is over, or so many events are kept that whoever comes could not queue them.
 */
export function createAbsentees(returning: Returning | undefined, maxItems: number): Absentees {
  let awaited = returning?.subscribers ?? 0;
  let kept: Envelope[] = [];
  const giveUp = (): void => {
    awaited = 0;
    kept = [];
    clearTimeout(timer);
  };
  // Keeps no process alive; what it would free goes with the process.
  const timer = awaited > 0 ? setTimeout(giveUp, returning?.forMs) : undefined;
  timer?.unref();
  return {
    get awaited() {
      return awaited;
    },
    get isUntold() {
      return awaited > 0 && awaited === returning?.subscribers;
    },
    keep: (envelope) => {
      if (awaited === 0) return false;
      if (kept.length >= maxItems) {
        giveUp();
        return false;
      }
      kept.push(envelope);
      return true;
    },
    comeBack: () => {
      if (awaited === 0) return [];
      const missed = kept;
      if (awaited === 1) giveUp();
      else {
        awaited -= 1;
        kept = [...kept];
      }
      return missed;
    },
  };
}
