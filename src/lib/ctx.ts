import { FaultError, fault } from "./faults.ts";
import { type Logger, silentLogger } from "./log.ts";
import type { Trace } from "./trace.ts";

/** What goes with a piece of work from the caller to the last wait: whose it is, when it must stop, where it logs. */
export interface Ctx {
  /** Fires when the caller went away or the deadline passed; its reason is a FaultError. Made on first use. */
  readonly signal: AbortSignal;
  /** True once the work should stop; costs nothing where `signal` was never asked for. */
  readonly aborted: boolean;
  /** From `containerd-namespace`; undefined when the caller sent none. */
  readonly namespace: string | undefined;
  /** From `containerd-lease`. */
  readonly lease: string | undefined;
  readonly log: Logger;
  /** The other request metadata, keys in lower case, one value a key (the first). */
  readonly metadata: ReadonlyMap<string, string>;
  /** The span that it belongs to, where it is traced. */
  readonly trace?: Trace | undefined;
  /** What it waits for, in words that go on from "it": said by the work, for whoever asks what is stuck. */
  step?: string | undefined;
}

export interface CtxOptions {
  readonly namespace?: string | undefined;
  readonly lease?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly log?: Logger | undefined;
  readonly metadata?: ReadonlyMap<string, string> | undefined;
  readonly trace?: Trace | undefined;
}

const noMetadata: ReadonlyMap<string, string> = new Map();

/** Makes a context for work that no remote caller started: background loops, recovery, tests. */
export function createCtx(options: CtxOptions = {}): Ctx {
  const signal = options.signal ?? new AbortController().signal;
  return {
    signal,
    get aborted() {
      return signal.aborted;
    },
    namespace: options.namespace,
    lease: options.lease,
    log: options.log ?? silentLogger,
    metadata: options.metadata ?? noMetadata,
    trace: options.trace,
  };
}

/** The same context with another signal: a part of the work that can be ended by itself, or outlives what it was part of. */
export function withSignal({ namespace, lease, log, metadata, trace }: Ctx, signal: AbortSignal): Ctx {
  return createCtx({ namespace, lease, log, metadata, signal, trace });
}

/** Throws the signal's reason as a fault when the work should stop. */
export function throwIfAborted(signal: AbortSignal): void {
  if (signal.aborted) throw abortFault(signal);
}

/** A fired signal's reason as a fault; canceled when the reason is not one. */
export function abortFault(signal: AbortSignal): FaultError {
  return signal.reason instanceof FaultError ? signal.reason : fault("canceled", "", { cause: signal.reason });
}

/** Waits for work that goes on without us; rejects as soon as the signal fires. Effects: the work's own end is always taken. */
export function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(abortFault(signal));
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    void work.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
