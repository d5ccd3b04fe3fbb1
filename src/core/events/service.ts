import { create } from "@bufbuild/protobuf";
import { AnySchema } from "@bufbuild/protobuf/wkt";
import { Events as TtrpcEvents } from "../../gen/containerd/services/events/ttrpc/v1/events_pb.ts";
import { Events } from "../../gen/containerd/services/events/v1/events_pb.ts";
import type { Envelope } from "../../gen/containerd/types/event_pb.ts";
import { FaultError, invalidArgument, isFault, messageOf } from "../../lib/faults.ts";
import { defineService, type ServiceDefinition } from "../../wire/service.ts";
import type { Exchange } from "./exchange.ts";

/** The gRPC face of the exchange. */
export function createEventsService({ exchange }: { readonly exchange: Exchange }): ServiceDefinition {
  return defineService(Events, {
    publish: (ctx, { topic, event }) => {
      exchange.publish(ctx, topic, event ?? create(AnySchema));
      return {};
    },
    forward: (_ctx, { envelope }) => forward(exchange, envelope),
    // Not a generator: the subscription stands before the next request of the connection is looked at.
    subscribe: (ctx, { filters }) => {
      ctx.step = "waits for events";
      try {
        return exchange.subscribe(ctx, filters, "client");
      } catch (error) {
        if (isFault(error, "unavailable")) throw error;
        // containerd gives these no code of their own.
        throw new FaultError("unknown", `subscription error: ${messageOf(error)}`, { cause: error });
      }
    },
  });
}

/** The face that shims see: they forward their events over ttrpc. */
export function createTtrpcEventsService({ exchange }: { readonly exchange: Exchange }): ServiceDefinition {
  return defineService(TtrpcEvents, { forward: (_ctx, { envelope }) => forward(exchange, envelope) });
}

function forward(exchange: Exchange, envelope: Envelope | undefined): Record<string, never> {
  if (envelope === undefined) throw invalidArgument("envelope must be set");
  exchange.forward(envelope);
  return {};
}
