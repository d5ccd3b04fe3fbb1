export { createExchange, type ExchangeOptions } from "./broadcast-exchange.ts";
export type { Exchange, Returning } from "./exchange.ts";
export { type EventHistory, openEventHistory } from "./history/event-history.ts";
export { createHistoryService } from "./history/service.ts";
export { createEventsService, createTtrpcEventsService } from "./service.ts";
