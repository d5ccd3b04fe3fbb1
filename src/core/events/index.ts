export { createExchange, type ExchangeOptions } from "./broadcast-exchange.ts";
export type { Exchange, Returning } from "./exchange.ts";
export { createEventsService, createTtrpcEventsService } from "./service.ts";
