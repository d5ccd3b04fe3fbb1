import { gunzipSync } from "node:zlib";
import { toBinary } from "@bufbuild/protobuf";
import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import {
  ExportTraceServiceRequestSchema,
  TraceService,
} from "../../src/gen/opentelemetry/proto/collector/trace/v1/trace_service_pb.ts";
import { createGrpcServer } from "../../src/wire/grpc/index.ts";
import { defineService } from "../../src/wire/service.ts";

/** A span as a collector takes it. */
export interface ReceivedSpan {
  readonly traceId: string;
  readonly spanId: string;
  /** Empty for the first of a trace. */
  readonly parentId: string;
  readonly name: string;
  /** 2: a server's, 1: what goes on within it. */
  readonly kind: number;
  readonly attributes: ReadonlyMap<string, string | number>;
  /** 2 is an error. */
  readonly status: number;
  readonly statusMessage: string;
  /** Of the resource. */
  readonly service: string;
  readonly nanoseconds: bigint;
}

/** A collector that keeps what it is sent. */
export interface OtlpReceiver extends Disposable {
  readonly endpoint: string;
  readonly spans: readonly ReceivedSpan[];
  /** What went wrong with what was sent: another path, another type. */
  readonly complaints: readonly string[];
}

/** Takes traces over OTLP/HTTP in protobuf. Source: opentelemetry-proto trace/v1/trace.proto, collector/trace/v1. */
export function startOtlpReceiver(): OtlpReceiver {
  const spans: ReceivedSpan[] = [];
  const complaints: string[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    async fetch(request) {
      const { pathname } = new URL(request.url);
      const type = request.headers.get("content-type");
      if (pathname !== "/v1/traces" || type !== "application/x-protobuf") complaints.push(`${pathname} ${type}`);
      const bytes = await request.bytes();
      spans.push(...readRequest(request.headers.get("content-encoding") === "gzip" ? gunzipSync(bytes) : bytes));
      return new Response(new Uint8Array(), { headers: { "content-type": "application/x-protobuf" } });
    },
  });
  return {
    endpoint: `http://127.0.0.1:${server.port}`,
    spans,
    complaints,
    [Symbol.dispose]: () => void server.stop(true),
  };
}

/** One that takes traces over gRPC. Source: opentelemetry-proto collector/trace/v1/trace_service.proto. */
export interface OtlpGrpcReceiver extends AsyncDisposable {
  readonly endpoint: string;
  readonly spans: readonly ReceivedSpan[];
  /** Metadata of the calls. */
  readonly headers: readonly ReadonlyMap<string, string>[];
}

/** Takes traces over OTLP/gRPC. */
export async function startOtlpGrpcReceiver(): Promise<OtlpGrpcReceiver> {
  const spans: ReceivedSpan[] = [];
  const headers: ReadonlyMap<string, string>[] = [];
  const service = defineService(TraceService, {
    export: ({ metadata }, request) => {
      headers.push(metadata);
      spans.push(...readRequest(toBinary(ExportTraceServiceRequestSchema, request)));
      return {};
    },
  });
  const server = createGrpcServer({ services: [service] });
  const port = await server.listen({ host: "127.0.0.1", port: 0 });
  return {
    endpoint: `http://127.0.0.1:${port}`,
    spans,
    headers,
    [Symbol.asyncDispose]: () => server.close(0),
  };
}

type Field = bigint | Uint8Array;

/** A message's fields by number. */
function fieldsOf(bytes: Uint8Array): ReadonlyMap<number, readonly Field[]> {
  const reader = new BinaryReader(bytes);
  const fields = new Map<number, Field[]>();
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag();
    const all = fields.getOrInsert(number, []);
    if (type === WireType.Varint) all.push(BigInt(reader.uint64()));
    else if (type === WireType.Bit64) all.push(BigInt(reader.fixed64()));
    else if (type === WireType.LengthDelimited) all.push(reader.bytes());
    else reader.skip(type);
  }
  return fields;
}

const messages = (fields: ReadonlyMap<number, readonly Field[]>, number: number): readonly Uint8Array[] =>
  (fields.get(number) ?? []).filter((field) => field instanceof Uint8Array);
const text = (fields: ReadonlyMap<number, readonly Field[]>, number: number): string =>
  new TextDecoder().decode(messages(fields, number)[0] ?? new Uint8Array());
const hex = (fields: ReadonlyMap<number, readonly Field[]>, number: number): string =>
  Buffer.from(messages(fields, number)[0] ?? []).toString("hex");
const whole = (fields: ReadonlyMap<number, readonly Field[]>, number: number): bigint => {
  const field = fields.get(number)?.[0];
  return typeof field === "bigint" ? field : 0n;
};

function* readRequest(bytes: Uint8Array): Generator<ReceivedSpan> {
  for (const resourceSpans of messages(fieldsOf(bytes), 1).map(fieldsOf)) {
    const resource = messages(resourceSpans, 1).map(fieldsOf)[0];
    const service = resource === undefined ? "" : String(attributesOf(resource, 1).get("service.name"));
    for (const scope of messages(resourceSpans, 2).map(fieldsOf)) {
      for (const span of messages(scope, 2).map(fieldsOf)) yield spanOf(span, service);
    }
  }
}

function spanOf(fields: ReadonlyMap<number, readonly Field[]>, service: string): ReceivedSpan {
  const status = messages(fields, 15).map(fieldsOf)[0];
  return {
    traceId: hex(fields, 1),
    spanId: hex(fields, 2),
    parentId: hex(fields, 4),
    name: text(fields, 5),
    kind: Number(whole(fields, 6)),
    attributes: attributesOf(fields, 9),
    status: status === undefined ? 0 : Number(whole(status, 3)),
    statusMessage: status === undefined ? "" : text(status, 2),
    service,
    nanoseconds: whole(fields, 8) - whole(fields, 7),
  };
}

function attributesOf(
  fields: ReadonlyMap<number, readonly Field[]>,
  number: number,
): ReadonlyMap<string, string | number> {
  return new Map(
    messages(fields, number).map((bytes) => {
      const pair = fieldsOf(bytes);
      const value = messages(pair, 2).map(fieldsOf)[0] ?? new Map<number, readonly Field[]>();
      return [text(pair, 1), value.has(1) ? text(value, 1) : Number(whole(value, 3))];
    }),
  );
}
