export { connectHttp2 } from "./bun-client.ts";
export {
  createHttp2Server,
  type Endpoint,
  type Http2Server,
  type Http2ServerOptions,
  type ListeningSocket,
} from "./bun-server.ts";
export { Connection, type ConnectionHandler } from "./connection.ts";
export { type HeaderBlock, headerListSize, headerValue } from "./header-block.ts";
export { type HeaderFields, type HeaderSource, HeaderTemplate } from "./hpack-encoder.ts";
export { type ConnectionLimits, defaultLimits, type Rate } from "./limits.ts";
export { createLookout, type Lookout } from "./lookout.ts";
export { errorCode } from "./protocol.ts";
export { type Stream, type StreamHandler } from "./stream.ts";
export type { ServerTls } from "./tls.ts";
export type { ClientTls } from "./tls-client.ts";
