// The runtime's own HTTP/2 server as a gRPC server, for ADR 4: it answers Version, and streams events to Subscribe.
// usage: bun bench/adr/built-in-server.ts SOCKET
import { once } from "node:events";
import { createServer, type ServerHttp2Stream } from "node:http2";
import { toBinary } from "@bufbuild/protobuf";
import { VersionResponseSchema } from "../../src/gen/containerd/services/version/v1/version_pb.ts";
import { EnvelopeSchema } from "../../src/gen/containerd/types/event_pb.ts";
import { answers } from "./answers.ts";

const framed = (body: Uint8Array): Buffer => {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(body.length, 1);
  return Buffer.concat([head, body]);
};
const version = framed(toBinary(VersionResponseSchema, answers.version));
const event = framed(toBinary(EnvelopeSchema, answers.event));

const server = createServer({ maxSessionMemory: 4096 });
server.on("stream", (stream: ServerHttp2Stream, headers) => {
  stream.on("error", () => {}); // the client went away, which is the measurement's own doing
  stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
  stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
  if (headers[":path"]?.endsWith("/Subscribe") !== true) {
    stream.resume();
    stream.end(version);
    return;
  }
  void (async () => {
    for (let i = 0; i < answers.events && !stream.destroyed; i++) if (!stream.write(event)) await once(stream, "drain");
    stream.end();
  })();
});
server.listen(process.argv[2], () => console.log("listening"));
