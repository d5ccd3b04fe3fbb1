export { createExchange, type ExchangeOptions } from "./broadcast-exchange.ts";
export type { Exchange } from "./exchange.ts";
export { createEventsService, createTtrpcEventsService } from "./service.ts";
