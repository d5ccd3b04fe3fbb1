import type { Request } from "../../gen/ttrpc/ttrpc_pb.ts";
import type { Ctx } from "../../lib/ctx.ts";
import { type FaultError, fault } from "../../lib/faults.ts";
import type { Logger } from "../../lib/log.ts";

/** Metadata keys of the wire. Source: containerd pkg/namespaces/ttrpc.go and core/leases/grpc.go. */
export const metadataKeys = { namespace: "containerd-namespace-ttrpc", lease: "containerd-lease" } as const;

/** The longest timer that setTimeout takes; a later deadline is none. */
const maxTimerMs = 2 ** 31 - 1;

/** One call's context: ends with its deadline or with its connection. */
export class CallContext implements Ctx, Disposable {
  readonly namespace: string | undefined;
  readonly lease: string | undefined;
  readonly log: Logger;
  readonly metadata: ReadonlyMap<string, string>;
  #controller: AbortController | undefined;
  #reason: FaultError | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(request: Request, log: Logger, namespace: string | undefined) {
    const metadata = new Map<string, string>();
    for (const { key, value } of request.metadata) {
      const name = key.toLowerCase();
      if (!metadata.has(name)) metadata.set(name, value);
    }
    this.metadata = metadata;
    this.namespace = metadata.get(metadataKeys.namespace) ?? namespace;
    this.lease = metadata.get(metadataKeys.lease);
    this.log = log;
    if (request.timeoutNano > 0n) this.#startTimer(Number(request.timeoutNano / 1_000_000n));
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#reason !== undefined) this.#controller.abort(this.#reason);
    }
    return this.#controller.signal;
  }

  get aborted(): boolean {
    return this.#reason !== undefined;
  }

  abort(reason: FaultError): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    this.#controller?.abort(reason);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }

  #startTimer(ms: number): void {
    if (ms > maxTimerMs) return;
    this.#timer = setTimeout(() => this.abort(fault("deadlineExceeded", "")), ms);
    this.#timer.unref();
  }
}
