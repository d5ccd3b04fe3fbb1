import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Content, WriteAction } from "../../gen/containerd/services/content/v1/content_pb.ts";
import { Events } from "../../gen/containerd/services/events/v1/events_pb.ts";
import { Streaming } from "../../gen/containerd/services/streaming/v1/streaming_pb.ts";
import { Version } from "../../gen/containerd/services/version/v1/version_pb.ts";
import type { Ctx } from "../../lib/ctx.ts";
import { FaultError, notFound } from "../../lib/faults.ts";
import { createLogger } from "../../lib/log.ts";
import { connectHttp2, defaultLimits, type HeaderBlock } from "../http2/index.ts";
import { type ClientConnection, defineService, type ServiceDefinition } from "../service.ts";
import { type CallObserver, connectGrpc, createGrpcServer, type GrpcServer } from "./index.ts";

interface Event {
  readonly topic: string;
  readonly event?: { readonly typeUrl: string; readonly value: Uint8Array };
}

async function* noEvents(): AsyncGenerator<never> {}

/** A server and a client of it, with methods that a test fills in. */
export class CallBed implements AsyncDisposable {
  readonly folder: string = mkdtempSync(join(tmpdir(), "lighter-grpc-"));
  readonly path: string = join(this.folder, "sock");
  readonly logged: string[] = [];
  readonly services: readonly ServiceDefinition[];
  readonly server: GrpcServer;
  connection!: ClientConnection;
  /** What Version.version does. */
  version: (ctx: Ctx) => unknown = () => ({});
  /** What Events.subscribe does. */
  subscribe: (ctx: Ctx) => AsyncIterable<Event> = noEvents;

  constructor(observer?: CallObserver) {
    this.services = [
      defineService(Version, { version: (ctx) => this.version(ctx) as { version: string } }),
      defineService(Events, { subscribe: (ctx) => this.subscribe(ctx), publish: () => ({}) }),
      defineService(Content, {
        // Answers every message with how long its data was.
        async *write(_ctx, requests) {
          for await (const request of requests)
            yield { action: WriteAction.WRITE, offset: BigInt(request.data.length) };
        },
      }),
      defineService(Streaming, {
        async *stream(_ctx, requests) {
          for await (const _request of requests) throw notFound('stream "x"');
          yield { typeUrl: "never", value: new Uint8Array() };
        },
      }),
    ];
    const log = createLogger({
      level: "debug",
      format: "text",
      namesTraces: true,
      write: (line) => this.logged.push(line),
    });
    this.server = createGrpcServer({ services: this.services, log, observer });
  }

  async open(): Promise<void> {
    await this.server.listen({ path: this.path });
    this.connection = await connectGrpc({ path: this.path });
  }

  /** A call made header by header, for what no decent client sends; settles with its trailers. */
  async rawCall(fields: readonly string[], body: Uint8Array): Promise<HeaderBlock> {
    const answer = Promise.withResolvers<HeaderBlock>();
    const client = await connectHttp2({ path: this.path }, { limits: defaultLimits, onClosed: () => {} });
    const stream = client.open(fields, {
      onHeaders: () => {},
      onData: () => true,
      onTrailers: answer.resolve,
      onReset: (code) => answer.reject(new Error(`reset ${code}`)),
      onWritable: () => {},
    });
    stream.sendData(body);
    stream.end();
    return answer.promise.finally(() => client.terminate());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.connection[Symbol.asyncDispose]();
    await this.server.close(0);
    rmSync(this.folder, { recursive: true });
  }
}

/** The kind and the text of the fault that a call failed with. */
export async function faultOfCall(call: Promise<unknown>): Promise<string> {
  const error: unknown = await call.catch((caught: unknown) => caught);
  return error instanceof FaultError ? `${error.kind}: ${error.message}` : `no fault: ${JSON.stringify(error)}`;
}

/** A request's headers for `rawCall`. */
export function requestFields(overrides: Readonly<Record<string, string>> = {}): string[] {
  const fields = {
    ":method": "POST",
    ":scheme": "http",
    ":path": "/containerd.services.version.v1.Version/Version",
    "content-type": "application/grpc",
    ...overrides,
  };
  return Object.entries(fields).flat();
}

export const emptyMessage: Buffer = Buffer.alloc(5);
