import type { Request } from "../../gen/ttrpc/ttrpc_pb.ts";
import type { Ctx } from "../../lib/ctx.ts";
import { type FaultError, fault } from "../../lib/faults.ts";
import type { Logger } from "../../lib/log.ts";
import type { Trace } from "../../lib/trace.ts";
import { CallTimer } from "../call-timer.ts";

/** Metadata keys of the wire. Source: containerd pkg/namespaces/ttrpc.go and core/leases/grpc.go. */
export const metadataKeys = { namespace: "containerd-namespace-ttrpc", lease: "containerd-lease" } as const;

/** One call's context: ends with its deadline or with its connection. */
export class CallContext implements Ctx, Disposable {
  readonly namespace: string | undefined;
  readonly lease: string | undefined;
  readonly log: Logger;
  readonly metadata: ReadonlyMap<string, string>;
  /** Set by whoever traces the call, before it runs. */
  trace: Trace | undefined;
  #controller: AbortController | undefined;
  #reason: FaultError | undefined;
  readonly #timer: CallTimer | undefined;

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
    if (request.timeoutNano > 0n) {
      const expire = (): void => this.abort(fault("deadlineExceeded", ""));
      this.#timer = new CallTimer(Math.ceil(Number(request.timeoutNano) / 1e6), expire, { unref: true });
    }
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
    this.#timer?.[Symbol.dispose]();
  }
}
