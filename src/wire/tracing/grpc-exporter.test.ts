import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { createSecureServer, type SecureServerOptions, type ServerHttp2Stream } from "node:http2";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { join } from "node:path";
import { Version } from "../../gen/containerd/services/version/v1/version_pb.ts";
import {
  type ExportTraceServiceRequest,
  TraceService,
} from "../../gen/opentelemetry/proto/collector/trace/v1/trace_service_pb.ts";
import type { Ctx } from "../../lib/ctx.ts";
import { unavailable } from "../../lib/faults.ts";
import { createLogger } from "../../lib/log.ts";
import { createGrpcServer } from "../grpc/index.ts";
import { defineService } from "../service.ts";
import { openTracing, type Tracing, tracingSettings } from "./index.ts";

const config = { endpoint: "", protocol: "", insecure: false, service_name: "", sampling_ratio: 0 };

/** Traces to an endpoint, and writes down what the log says. */
async function tracingTo(endpoint: string, more: Readonly<Record<string, string>> = {}) {
  const env = { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, OTEL_EXPORTER_OTLP_PROTOCOL: "grpc", ...more };
  const settings = tracingSettings(env, config);
  if (typeof settings === "string") throw new Error(settings);
  const logged: string[] = [];
  const log = createLogger({ level: "warn", format: "text", write: (line) => logged.push(line) });
  const tracing = await openTracing(settings, env, log);
  return { tracing, logged, [Symbol.asyncDispose]: () => tracing[Symbol.asyncDispose]() };
}

/** Makes a span, and has it sent. */
async function sendOne({ tracing }: { readonly tracing: Tracing }): Promise<void> {
  const method = Version.method.version;
  tracing.grpc.begin({ method, namespace: "ns", metadata: new Map() }).ended(0, "");
  await tracing[Symbol.asyncDispose]();
}

/** Makes spans until one has come. */
async function sendUntil({ tracing }: { readonly tracing: Tracing }, came: () => boolean): Promise<void> {
  const method = Version.method.version;
  for (let n = 0; !came() && n < 3_000; n++) {
    tracing.grpc.begin({ method, namespace: "ns", metadata: new Map() }).ended(0, "");
    await Bun.sleep(10);
  }
}

/** A way to a port, on which the first to come is taken in and never heard of again. */
async function losingTheFirst(port: number) {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    const isFirst = sockets.push(socket) === 1;
    socket.on("error", () => {});
    if (isFirst) return void socket.resume();
    const onwards = connect(port, "127.0.0.1");
    onwards.on("error", () => socket.destroy());
    onwards.on("close", () => socket.destroy());
    socket.on("close", () => onwards.destroy());
    socket.pipe(onwards).pipe(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address() as AddressInfo;
  const end = (): void => {
    server.close();
    for (const socket of sockets) socket.destroy();
  };
  return { port: address.port, sockets, [Symbol.dispose]: end };
}

/** Often, and with little patience. */
const hasty = { OTEL_BSP_SCHEDULE_DELAY: "10", OTEL_EXPORTER_OTLP_TIMEOUT: "1000" };

function collector(take: (ctx: Ctx, request: ExportTraceServiceRequest) => object) {
  return createGrpcServer({ services: [defineService(TraceService, { export: take })] });
}

describe("spans over gRPC", () => {
  test.each(["", "gzip"])("come with their headers, on a unix socket too, compressed by %j", async (compression) => {
    const folder = mkdtempSync("/tmp/lighter-otlp-");
    const path = join(folder, "s");
    const taken: [string | undefined, number][] = [];
    const server = collector(({ metadata }, { resourceSpans }) => {
      taken.push([metadata.get("api-key"), resourceSpans.length]);
      return {};
    });
    await server.listen({ path });
    const more = { OTEL_EXPORTER_OTLP_HEADERS: "api-key=k", OTEL_EXPORTER_OTLP_COMPRESSION: compression };
    await using one = await tracingTo(`unix://${path}`, more);
    await sendOne(one);
    expect([taken, one.logged]).toEqual([[["k", 1]], []]);
    await server.close(0);
    rmSync(folder, { recursive: true });
  });

  test("are sent again where the collector could not take them, and only then", async () => {
    let calls = 0;
    const server = collector(() => {
      calls += 1;
      if (calls === 1) throw unavailable("not yet");
      return {};
    });
    const port = await server.listen({ host: "127.0.0.1", port: 0 });
    await using one = await tracingTo(`http://127.0.0.1:${port}`);
    await sendOne(one);
    expect([calls, one.logged]).toEqual([2, []]);
    await server.close(0);
  });

  test("that the collector does not want are told of, and not sent again", async () => {
    let calls = 0;
    const server = collector(() => {
      calls += 1;
      return { partialSuccess: { rejectedSpans: 1n, errorMessage: "too old" } };
    });
    const port = await server.listen({ host: "127.0.0.1", port: 0 });
    await using one = await tracingTo(`http://127.0.0.1:${port}`);
    await sendOne(one);
    expect([calls, one.logged]).toEqual([1, [expect.stringContaining("rejected 1 of them: too old")]]);
    await server.close(0);
  });

  test("that nobody takes are given up in time, and told of", async () => {
    using listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => {} } });
    await using one = await tracingTo(`http://127.0.0.1:${listener.port}`, { OTEL_EXPORTER_OTLP_TIMEOUT: "100" });
    await sendOne(one);
    expect(one.logged).toEqual([expect.stringMatching(/export of 1 spans: no answer within 100 ms/)]);
  });

  test("go another way where one has gone silent", async () => {
    let calls = 0;
    const server = collector(() => {
      calls += 1;
      return {};
    });
    using way = await losingTheFirst(await server.listen({ host: "127.0.0.1", port: 0 }));
    await using one = await tracingTo(`http://127.0.0.1:${way.port}`, hasty);
    await sendUntil(one, () => calls > 0);
    expect([calls > 0, way.sockets.length > 1]).toEqual([true, true]);
    await server.close(0);
  }, 60_000);

  test("say which certificate cannot be read", async () => {
    const more = { OTEL_EXPORTER_OTLP_CERTIFICATE: "/no/such.pem" };
    const error = await tracingTo("https://127.0.0.1:1", more).then(
      () => undefined,
      (caught: unknown) => caught,
    );
    expect(String(error)).toContain("certificate /no/such.pem: ENOENT");
  });
});

/** A collector of another make, over TLS. */
async function secureCollector(options: SecureServerOptions) {
  const authorities: (string | undefined)[] = [];
  const server = createSecureServer({ ...options, ALPNProtocols: ["h2"] });
  server.on("sessionError", () => {});
  server.on("tlsClientError", () => {});
  server.on("stream", (stream: ServerHttp2Stream, headers) => {
    authorities.push(`${headers[":scheme"]} ${headers[":authority"]} ${headers[":path"]}`);
    stream.on("error", () => {});
    stream.resume();
    stream.on("end", () => {
      stream.respond({ ":status": 200, "content-type": "application/grpc" }, { waitForTrailers: true });
      stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
      stream.end(Buffer.alloc(5));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return { port, authorities, [Symbol.dispose]: () => void server.close() };
}

/** Makes a CA with a server's certificate for an address, one for a name, and a client's. */
async function makeCertificates(folder: string): Promise<void> {
  const make = async (name: string, ...more: readonly string[]): Promise<void> => {
    const files = ["-keyout", join(folder, `${name}.key`), "-out", join(folder, `${name}.pem`)];
    const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    const command = ["openssl", "req", "-x509", ...key, "-days", "2", "-subj", `/CN=${name}`, ...files, ...more];
    const child = Bun.spawn(command, { stdio: ["ignore", "ignore", "pipe"] });
    if ((await child.exited) !== 0) throw new Error(await child.stderr.text());
  };
  const ca = ["-CA", join(folder, "ca.pem"), "-CAkey", join(folder, "ca.key")];
  const leaf = [...ca, "-addext", "basicConstraints=critical,CA:FALSE"];
  await make("ca");
  await make("other");
  await make("server", ...leaf, "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost");
  await make("stranger", ...leaf, "-addext", "subjectAltName=DNS:elsewhere");
  await make("client", ...leaf);
}

describe.skipIf(Bun.which("openssl") === null)("spans over gRPC and TLS", () => {
  test("go to a server with the right certificate alone, and show the client's", async () => {
    const folder = mkdtempSync("/tmp/lighter-otlp-");
    await makeCertificates(folder);
    const pem = (name: string): string => join(folder, name);
    const read = (name: string): Promise<string> => Bun.file(pem(name)).text();
    const server = { cert: await read("server.pem"), key: await read("server.key") };
    const mutual = { ...server, ca: await read("ca.pem"), requestCert: true, rejectUnauthorized: true };
    using wanted = await secureCollector(mutual);
    using stranger = await secureCollector({ cert: await read("stranger.pem"), key: await read("stranger.key") });
    const trusted = { OTEL_EXPORTER_OTLP_CERTIFICATE: pem("ca.pem") };
    const own = {
      OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE: pem("client.pem"),
      OTEL_EXPORTER_OTLP_CLIENT_KEY: pem("client.key"),
    };
    const said = async (endpoint: string, more: Readonly<Record<string, string>>): Promise<string> => {
      await using one = await tracingTo(endpoint, { OTEL_EXPORTER_OTLP_TIMEOUT: "1500", ...more });
      await sendOne(one);
      return one.logged.join("");
    };
    expect(await said(`https://127.0.0.1:${wanted.port}`, { ...trusted, ...own })).toBe("");
    expect(await said(`localhost:${wanted.port}`, { ...trusted, ...own })).toBe("");
    const path = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
    expect(wanted.authorities).toEqual([
      `https 127.0.0.1:${wanted.port} ${path}`,
      `https localhost:${wanted.port} ${path}`,
    ]);
    expect(await said(`https://127.0.0.1:${wanted.port}`, trusted)).toContain("export of 1 spans");
    const untrusted = { OTEL_EXPORTER_OTLP_CERTIFICATE: pem("other.pem"), ...own };
    expect(await said(`https://127.0.0.1:${wanted.port}`, untrusted)).toContain("certificate");
    expect(await said(`https://127.0.0.1:${stranger.port}`, trusted)).toMatch(/IP|altnames/);
    expect(await said(`http://127.0.0.1:${wanted.port}`, {})).toContain("export of 1 spans");
    expect([wanted.authorities.length, stranger.authorities]).toEqual([2, []]);
    rmSync(folder, { recursive: true });
  });

  test("go another way where a server does not say who it is, and leave nothing open there", async () => {
    const folder = mkdtempSync("/tmp/lighter-otlp-");
    await makeCertificates(folder);
    const read = (name: string): Promise<string> => Bun.file(join(folder, name)).text();
    using server = await secureCollector({ cert: await read("server.pem"), key: await read("server.key") });
    using way = await losingTheFirst(server.port);
    const more = { ...hasty, OTEL_EXPORTER_OTLP_CERTIFICATE: join(folder, "ca.pem") };
    await using one = await tracingTo(`https://127.0.0.1:${way.port}`, more);
    const isLetGo = (): boolean => way.sockets[0]?.closed === true;
    await sendUntil(one, () => server.authorities.length > 0 && isLetGo());
    expect([server.authorities.length > 0, isLetGo()]).toEqual([true, true]);
    rmSync(folder, { recursive: true });
  }, 60_000);
});
