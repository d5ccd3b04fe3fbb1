// Our gRPC server with the same two answers as the runtime's beside it, for ADR 4.
// usage: bun bench/adr/our-server.ts SOCKET
import { Events } from "../../src/gen/containerd/services/events/v1/events_pb.ts";
import { Version } from "../../src/gen/containerd/services/version/v1/version_pb.ts";
import { createGrpcServer } from "../../src/wire/grpc/index.ts";
import { defineService } from "../../src/wire/service.ts";
import { answers } from "./answers.ts";

const version = defineService(Version, { version: () => answers.version });
const events = defineService(Events, {
  async *subscribe() {
    for (let i = 0; i < answers.events; i++) yield answers.event;
  },
});

const server = createGrpcServer({ services: [version, events] });
await server.listen({ path: process.argv[2] ?? "" });
console.log("listening");
