import {
  type Context,
  type Link,
  ROOT_CONTEXT,
  type Span,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  trace,
} from "@opentelemetry/api";
import { parseTraceparent, type Trace, type TraceAttributes } from "../../lib/trace.ts";
import type { CallObserver, CallRecord, ObservedCall } from "../observer.ts";

/** Codes for which the server is to blame. Source: OpenTelemetry semantic conventions, gRPC, server spans. */
const ownFailures: ReadonlySet<number> = new Set([2, 4, 12, 13, 14, 15]);

/** What is heard of a call that is not traced. */
const untraced: CallRecord = { received: () => {}, sent: () => {}, ended: () => {} };

export interface CallSpansOptions {
  readonly system: "grpc" | "ttrpc";
  /** Calls that come without a trace begin one. */
  readonly beginsTraces: boolean;
}

/** A span a call, below the caller's own where it names one. */
export class CallSpans implements CallObserver {
  readonly #tracer: Tracer;
  readonly #options: CallSpansOptions;

  constructor(tracer: Tracer, options: CallSpansOptions) {
    this.#tracer = tracer;
    this.#options = options;
  }

  begin({ method, namespace, metadata }: ObservedCall): CallRecord {
    const { system, beginsTraces } = this.#options;
    const parent = parentOf(metadata);
    if (parent === undefined && !beginsTraces) return untraced;
    const service = method.parent.typeName;
    const options = {
      kind: SpanKind.SERVER,
      attributes: {
        "rpc.system": system,
        "rpc.service": service,
        "rpc.method": method.name,
        ...(namespace === undefined ? {} : { "containerd.namespace": namespace }),
      },
      links: [] as Link[],
    };
    const span = this.#tracer.startSpan(`${service}/${method.name}`, options, parent ?? ROOT_CONTEXT);
    return {
      trace: span.isRecording() || isValid(span.spanContext()) ? new OpenTrace(this.#tracer, span) : undefined,
      received: () => {},
      sent: () => {},
      ended: (code, message) => {
        span.setAttribute(`rpc.${system}.status_code`, code);
        if (ownFailures.has(code)) span.setStatus({ code: SpanStatusCode.ERROR, message });
        span.end();
      },
    };
  }
}

function isValid({ traceId }: SpanContext): boolean {
  return !/^0*$/.test(traceId);
}

/** Source: W3C Trace Context. */
function parentOf(metadata: ReadonlyMap<string, string>): Context | undefined {
  const parent = parseTraceparent(metadata.get("traceparent"));
  if (parent === undefined) return undefined;
  const { traceId, spanId, flags } = parent;
  return trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId, traceFlags: flags & 1, isRemote: true });
}

class OpenTrace implements Trace {
  readonly #tracer: Tracer;
  readonly #span: Span;

  constructor(tracer: Tracer, span: Span) {
    this.#tracer = tracer;
    this.#span = span;
  }

  get traceId(): string {
    return this.#span.spanContext().traceId;
  }

  get traceparent(): string {
    const { traceId, spanId, traceFlags } = this.#span.spanContext();
    return `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, "0")}`;
  }

  child(name: string, attributes: TraceAttributes): Trace {
    const within = trace.setSpan(ROOT_CONTEXT, this.#span);
    return new OpenTrace(this.#tracer, this.#tracer.startSpan(name, { attributes }, within));
  }

  end(failure?: string): void {
    if (failure !== undefined) this.#span.setStatus({ code: SpanStatusCode.ERROR, message: failure });
    this.#span.end();
  }
}
