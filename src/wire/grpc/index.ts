export type { ClientTls, ServerTls } from "../http2/index.ts";
export { type CallObserver, type CallRecord, type CallUnderWay, type ObservedCall, observers } from "../observer.ts";
export { connectGrpc, type GrpcClientOptions } from "./grpc-client.ts";
export { createGrpcServer, type Ending, type GrpcServer, type GrpcServerOptions } from "./grpc-server.ts";
export { createHealthService, type Health, type HealthOptions } from "./health.ts";
export type { GrpcLimits } from "./limits.ts";
