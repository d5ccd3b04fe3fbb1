import { definePlugin, duration, integer, type PluginDefinition, table } from "../../plugin/index.ts";
import { EVENT, eventHistoryToken, exchangeToken, GRPC, LIGHTER_EVENTS, LIGHTER_GRPC } from "../tokens.ts";
import {
  createEventsService,
  createExchange,
  createHistoryService,
  createTtrpcEventsService,
  openEventHistory,
} from "./index.ts";

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

/** What is kept unless the configuration says otherwise: some weeks of a quiet machine, and the last hour of a busy one. */
const defaults = { maxEvents: 100_000, maxBytes: 32 * 1024 ** 2, maxAgeMs: 30 * 24 * 3_600_000 };

const historyPlugin: PluginDefinition = definePlugin({
  type: LIGHTER_EVENTS,
  id: "history",
  requires: { exchange: exchangeToken },
  config: table({
    max_events: integer(defaults.maxEvents, 0),
    max_bytes: integer(defaults.maxBytes, 0),
    max_age: duration(defaults.maxAgeMs),
  }),
  init: ({ exchange }, { config, root, log, meta, scope }) => {
    meta.exports.set("root", root);
    const { max_events: maxEvents, max_bytes: maxBytes, max_age: maxAgeMs } = config;
    if (maxEvents === 0 || maxBytes === 0 || maxAgeMs <= 0) return undefined;
    return scope.use(openEventHistory({ folder: root, limits: { maxEvents, maxBytes, maxAgeMs }, exchange, log }));
  },
});

const historyServicePlugin: PluginDefinition = definePlugin({
  type: LIGHTER_GRPC,
  id: "event-history",
  requires: { history: eventHistoryToken },
  init: ({ history }) => ({ grpc: [createHistoryService(history)] }),
});

export const eventsPlugins: readonly PluginDefinition[] = [
  exchangePlugin,
  historyPlugin,
  historyServicePlugin,
  servicePlugin,
];
