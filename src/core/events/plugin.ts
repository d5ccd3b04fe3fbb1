import { definePlugin, type PluginDefinition } from "../../plugin/index.ts";
import { EVENT, exchangeToken, GRPC } from "../tokens.ts";
import { createEventsService, createExchange, createTtrpcEventsService } from "./index.ts";

const exchangePlugin: PluginDefinition = definePlugin({
  type: EVENT,
  id: "exchange",
  init: (_given, { daemon, log }) => createExchange({ log, returning: daemon.returning }),
});

const servicePlugin: PluginDefinition = definePlugin({
  type: GRPC,
  id: "events",
  requires: { exchange: exchangeToken },
  init: ({ exchange }) => ({
    grpc: [createEventsService({ exchange })],
    ttrpc: [createTtrpcEventsService({ exchange })],
  }),
});

export const eventsPlugins: readonly PluginDefinition[] = [exchangePlugin, servicePlugin];
