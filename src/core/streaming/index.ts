export { type ByteSink, receiveBytes, sendBytes } from "./bytes.ts";
export { createStreamManager } from "./named-streams.ts";
export { createStreamingService } from "./service.ts";
export type { Stream, StreamManager } from "./streams.ts";
