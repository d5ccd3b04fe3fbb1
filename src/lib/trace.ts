import type { Ctx } from "./ctx.ts";
import { messageOf } from "./faults.ts";
import type { Logger } from "./log.ts";

export type TraceAttributes = Readonly<Record<string, string | number | boolean>>;

/** A span of a trace, open: what goes on within it has it as its parent. */
export interface Trace {
  /** 32 hexadecimal digits. */
  readonly traceId: string;
  /** W3C's header by which the trace goes on in another process. */
  readonly traceparent: string;
  /** Opens a span within this one. */
  child(name: string, attributes: TraceAttributes): Trace;
  /** Closes it; with a text where it failed. */
  end(failure?: string): void;
}

/** The metadata by which a call to another process goes on with a trace; undefined where nobody traces. */
export function metadataOf(trace: Trace | undefined): ReadonlyMap<string, string> | undefined {
  return trace === undefined ? undefined : new Map([["traceparent", trace.traceparent]]);
}

/** Does a piece of work within a span of its own below another; without one, it is just done. */
export function spanned<T>(
  trace: Trace | undefined,
  name: string,
  attributes: TraceAttributes,
  work: () => Promise<T>,
): Promise<T> {
  return trace === undefined ? work() : closed(trace.child(name, attributes), work);
}

/** Does a piece of work, and closes the span with what became of it. */
async function closed<T>(span: Trace, work: () => Promise<T>): Promise<T> {
  try {
    const result = await work();
    span.end();
    return result;
  } catch (error) {
    span.end(messageOf(error));
    throw error;
  }
}

/** Does a piece of work within a span of its own; where nobody traces, it is just done. */
export async function traced<T>(
  ctx: Ctx,
  name: string,
  attributes: TraceAttributes,
  work: (ctx: Ctx) => Promise<T>,
): Promise<T> {
  const span = ctx.trace?.child(name, attributes);
  return span === undefined ? work(ctx) : closed(span, () => work(within(ctx, span)));
}

/** The same context below another span; what it says of its step is said of the whole. */
function within(ctx: Ctx, trace: Trace): Ctx {
  const { signal, namespace, lease, log, metadata } = ctx;
  return {
    signal,
    namespace,
    lease,
    log,
    metadata,
    trace,
    get aborted() {
      return ctx.aborted;
    },
    get step() {
      return ctx.step;
    },
    set step(step) {
      ctx.step = step;
    },
  };
}

/** Source: W3C Trace Context, section 3.2.2. */
const traceparentForm = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})/;

/** The trace and the span of a `traceparent`; undefined for what is none. */
export function parseTraceparent(
  text: string | undefined,
): { readonly traceId: string; readonly spanId: string; readonly flags: number } | undefined {
  const found = text === undefined ? null : traceparentForm.exec(text);
  if (found === null || text?.startsWith("ff") === true) return undefined;
  const [, traceId = "", spanId = "", flags = ""] = found;
  if (/^0+$/.test(traceId) || /^0+$/.test(spanId)) return undefined;
  return { traceId, spanId, flags: Number.parseInt(flags, 16) };
}

/** The trace that a piece of work belongs to, by its own span or its caller's `traceparent`. */
function traceIdOf({ trace, metadata }: Pick<Ctx, "trace" | "metadata">): string | undefined {
  return trace?.traceId ?? parseTraceparent(metadata.get("traceparent"))?.traceId;
}

/** A room's own log for what it says of a call: with the call's trace, where it belongs to one and the log is to say so. */
export function logFor(ctx: Ctx, log: Logger): Logger {
  const traceId = log.namesTraces ? traceIdOf(ctx) : undefined;
  return traceId === undefined ? log : log.with({ trace_id: traceId });
}
