import { History } from "../../../gen/lighter/events/v1/history_pb.ts";
import { fault } from "../../../lib/faults.ts";
import { Instant } from "../../../lib/instant.ts";
import { defineService, type ServiceDefinition } from "../../../wire/service.ts";
import type { EventHistory } from "./event-history.ts";

/** The gRPC face of the history; undefined where the configuration wants none. */
export function createHistoryService(history: EventHistory | undefined): ServiceDefinition {
  return defineService(History, {
    read: (ctx, { since, until, afterSequence, filters, follow }) => {
      if (history === undefined) {
        throw fault("unavailable", "the daemon keeps no history of events: max_events is 0 in its configuration");
      }
      return history.read(ctx, {
        sinceMs: since && Instant.of(since).ms,
        untilMs: until && Instant.of(until).ms,
        afterSequence: Number(afterSequence),
        filters,
        follow,
      });
    },
  });
}
