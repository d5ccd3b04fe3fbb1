export type { ConnectOptions, ListenOptions, TtrpcServer, TtrpcServerOptions } from "./ttrpc.ts";
export { connectTtrpc } from "./ttrpc-client.ts";
export { createTtrpcServer } from "./ttrpc-server.ts";
