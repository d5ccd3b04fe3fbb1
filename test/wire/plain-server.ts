import { createKernel } from "../../src/sys/index.ts";
import { createHttp2Server, createLookout, defaultLimits, type StreamHandler } from "../../src/wire/http2/index.ts";

/**
 * A plain HTTP/2 server over lighter's own framing: it answers every request with a short page, once the request is
 * whole. For conformance tools that speak HTTP/2 but not gRPC. Prints its port.
 */
const body = Buffer.from("lighter's HTTP/2 layer answers\n");

const server = createHttp2Server({
  limits: { ...defaultLimits, maxConcurrentStreams: 100 },
  keepaliveMs: 3_600_000,
  lookout: createLookout(createKernel()),
  accept: () => ({
    onStream: (stream, _block, end) => {
      const answer = (): void => {
        stream.sendHeaders([":status", "200", "content-type", "text/plain"]);
        stream.sendData(body);
        stream.end();
      };
      const handler: StreamHandler = {
        onHeaders: () => {},
        onData: (bytes, last) => {
          stream.credit(bytes.length);
          if (last) answer();
          return true;
        },
        onTrailers: answer,
        onReset: () => {},
        onWritable: () => {},
      };
      if (end) answer();
      return handler;
    },
    onClosed: () => {},
  }),
});
console.log(await server.listen({ host: "127.0.0.1", port: Number(process.argv[2] ?? 0) }));
