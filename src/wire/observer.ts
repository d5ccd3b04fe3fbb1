import type { DescMethod } from "@bufbuild/protobuf";
import type { Trace } from "../lib/trace.ts";

/** A call as an observer sees it when its implementation is about to run. */
export interface ObservedCall {
  readonly method: DescMethod;
  readonly namespace: string | undefined;
  readonly metadata: ReadonlyMap<string, string>;
}

/** Hears what becomes of one call. None of these may throw. */
export interface CallRecord {
  /** What traces the call; undefined where nobody does. */
  readonly trace?: Trace | undefined;
  /** Another message of the caller's was read. */
  received(): void;
  /** Another answer was sent. */
  sent(): void;
  /** Once, last, with the status that the caller got, or would have got. */
  ended(code: number, message: string): void;
}

/** Counts, measures or traces calls. A server without one pays for a comparison a call. */
export interface CallObserver {
  begin(call: ObservedCall): CallRecord;
}

/** The part of an observer that traces: what a server needs that counts nothing. */
export interface CallTracer {
  begin(call: ObservedCall): Pick<CallRecord, "trace" | "ended">;
}

/** One observer that tells all of them; undefined for none. */
export function observers(all: readonly CallObserver[]): CallObserver | undefined {
  if (all.length <= 1) return all[0];
  return {
    begin: (call) => {
      const records = all.map((one) => one.begin(call));
      return {
        trace: records.find((record) => record.trace !== undefined)?.trace,
        received: () => {
          for (const record of records) record.received();
        },
        sent: () => {
          for (const record of records) record.sent();
        },
        ended: (code, message) => {
          for (const record of records) record.ended(code, message);
        },
      };
    },
  };
}

/** A call that is under way. */
export interface CallUnderWay {
  /** `/service/method`. */
  readonly method: string;
  readonly namespace: string | undefined;
  /** What of its own it came with. */
  readonly metadata: ReadonlyMap<string, string>;
  /** When it came, on performance.now's clock. */
  readonly since: number;
  /** Until when it may take; undefined without a deadline. */
  readonly deadline: number | undefined;
  /** What it waits for, for people. */
  readonly step: string;
  /** The connection's descriptor, by which its peer is found out. */
  readonly fd: number | undefined;
}
