import { readFile } from "node:fs/promises";
import { fromBinary } from "@bufbuild/protobuf";
import { ProtobufTraceSerializer } from "@opentelemetry/otlp-transformer";
import type { ReadableSpan, SpanExporter } from "@opentelemetry/sdk-trace";
import {
  ExportTraceServiceRequestSchema,
  type ExportTraceServiceResponse,
  TraceService,
} from "../../gen/opentelemetry/proto/collector/trace/v1/trace_service_pb.ts";
import { unlessAborted } from "../../lib/ctx.ts";
import { FaultError, type FaultKind, invalidArgument, messageOf } from "../../lib/faults.ts";
import { pause } from "../../lib/pause.ts";
import { CallTimer } from "../call-timer.ts";
import { type ClientTls, connectGrpc } from "../grpc/index.ts";
import type { ClientConnection } from "../service.ts";
import type { GrpcTarget } from "./grpc-settings.ts";

/** Source: opentelemetry-proto docs/specification.md, OTLP/gRPC response, failures that are tried again. */
const passing: ReadonlySet<FaultKind> = new Set([
  "canceled",
  "deadlineExceeded",
  "aborted",
  "outOfRange",
  "unavailable",
  "dataLoss",
]);
/** Pauses before each further try, as far as the time for one export goes. */
const firstPauseMs = 1_000;
const longestPauseMs = 5_000;

type Done = Parameters<SpanExporter["export"]>[1];

/**
 * Makes what sends spans over gRPC. It connects when there is something to send, and again when the connection was lost.
 * Errors: invalidArgument (a certificate that can't be read).
 */
export async function createGrpcExporter(target: GrpcTarget): Promise<SpanExporter> {
  return new GrpcExporter(target, await readTls(target));
}

class GrpcExporter implements SpanExporter {
  readonly #target: GrpcTarget;
  readonly #tls: ClientTls | undefined;
  readonly #underWay = new Set<Promise<void>>();
  #connection: Promise<ClientConnection> | undefined;

  constructor(target: GrpcTarget, tls: ClientTls | undefined) {
    this.#target = target;
    this.#tls = tls;
  }

  export(spans: ReadableSpan[], done: Done): void {
    const work = this.#export(spans, done).finally(() => this.#underWay.delete(work));
    this.#underWay.add(work);
  }

  async forceFlush(): Promise<void> {
    await Promise.all(this.#underWay);
  }

  /** Lets what is under way end in its own time; whoever waits no longer than that goes without. */
  async shutdown(): Promise<void> {
    await this.forceFlush();
    this.#forget();
  }

  async #export(spans: ReadableSpan[], done: Done): Promise<void> {
    done(await this.#outcome(spans));
  }

  async #outcome(spans: ReadableSpan[]): Promise<Parameters<Done>[0]> {
    try {
      await this.#send(spans);
      return { code: 0 };
    } catch (error) {
      return { code: 1, error: new Error(`export of ${spans.length} spans: ${messageOf(error)}`, { cause: error }) };
    }
  }

  async #send(spans: ReadableSpan[]): Promise<void> {
    const bytes = ProtobufTraceSerializer.serializeRequest(spans);
    if (bytes === undefined) throw new FaultError("internal", "the spans can't be encoded");
    const request = fromBinary(ExportTraceServiceRequestSchema, bytes);
    const { timeoutMs, headers } = this.#target;
    const late = new AbortController();
    const { signal } = late;
    const expire = (): void => late.abort(new FaultError("deadlineExceeded", `no answer within ${timeoutMs} ms`));
    using _timer = new CallTimer(timeoutMs, expire);
    for (let pauseMs = firstPauseMs; ; pauseMs = Math.min(pauseMs * 1.5, longestPauseMs)) {
      try {
        const connection = await unlessAborted(this.#connected(), signal);
        return refusedNone(await connection.client(TraceService).export(request, { signal, metadata: headers }));
      } catch (error) {
        if (!(error instanceof FaultError) || !passing.has(error.kind)) throw error;
        // Also where no answer came in time: who was at the other end may be gone without a word.
        this.#forget();
        if (signal.aborted) throw error;
        // Half of it, or all: those that one collector turned away do not come back at once.
        await pause(pauseMs * (0.5 + Math.random() / 2), signal).catch(() => {
          throw error;
        });
      }
    }
  }

  #connected(): Promise<ClientConnection> {
    if (this.#connection === undefined) {
      const { place, gzip } = this.#target;
      const connecting = connectGrpc(place, { tls: this.#tls, gzip });
      this.#connection = connecting;
      const lost = (): void => {
        if (this.#connection === connecting) this.#connection = undefined;
      };
      connecting.then(({ closed }) => closed.then(lost), lost);
    }
    return this.#connection;
  }

  /** The next export connects anew. */
  #forget(): void {
    const connection = this.#connection;
    this.#connection = undefined;
    // One that is on its way still, to a place that says nothing, is let go when it comes.
    void connection?.then((opened) => opened[Symbol.asyncDispose]()).catch(() => {});
  }
}

/** Errors: resourceExhausted and the like are the call's; unknown, the collector's words, where it left out some. */
function refusedNone({ partialSuccess }: ExportTraceServiceResponse): void {
  if (partialSuccess === undefined || partialSuccess.rejectedSpans === 0n) return;
  const { rejectedSpans, errorMessage } = partialSuccess;
  throw new FaultError("unknown", `the collector rejected ${rejectedSpans} of them: ${errorMessage}`);
}

async function readTls({ tls, timeoutMs }: GrpcTarget): Promise<ClientTls | undefined> {
  if (tls === undefined) return undefined;
  const read = async (file: string | undefined): Promise<string | undefined> => {
    if (file === undefined) return undefined;
    try {
      return await readFile(file, "utf8");
    } catch (error) {
      throw invalidArgument(`certificate ${file}: ${messageOf(error)}`);
    }
  };
  const [ca, cert, key] = [await read(tls.ca), await read(tls.cert), await read(tls.key)];
  // No export waits for longer.
  return { ca, cert, key, helloTimeoutMs: timeoutMs };
}
