import { FaultError, type FaultKind } from "../lib/faults.ts";

/** gRPC's status codes by number. Source: google/rpc/code.proto. */
export const grpcCodes = [
  "OK",
  "CANCELLED",
  "UNKNOWN",
  "INVALID_ARGUMENT",
  "DEADLINE_EXCEEDED",
  "NOT_FOUND",
  "ALREADY_EXISTS",
  "PERMISSION_DENIED",
  "RESOURCE_EXHAUSTED",
  "FAILED_PRECONDITION",
  "ABORTED",
  "OUT_OF_RANGE",
  "UNIMPLEMENTED",
  "INTERNAL",
  "UNAVAILABLE",
  "DATA_LOSS",
  "UNAUTHENTICATED",
] as const;

/** The only table from a fault's kind to a gRPC code. Source: containerd errdefs pkg/errgrpc/grpc.go, ToGRPC. */
export const codeOf: Readonly<Record<FaultKind, number>> = {
  unknown: 2,
  invalidArgument: 3,
  notFound: 5,
  alreadyExists: 6,
  permissionDenied: 7,
  resourceExhausted: 8,
  failedPrecondition: 9,
  conflict: 9,
  notModified: 9,
  aborted: 10,
  outOfRange: 11,
  notImplemented: 12,
  internal: 13,
  unavailable: 14,
  dataLoss: 15,
  unauthenticated: 16,
  canceled: 1,
  deadlineExceeded: 4,
};

/** The inverse: what a code that a server sent means. */
const kindOf: readonly FaultKind[] = [
  "unknown",
  "canceled",
  "unknown",
  "invalidArgument",
  "deadlineExceeded",
  "notFound",
  "alreadyExists",
  "permissionDenied",
  "resourceExhausted",
  "failedPrecondition",
  "aborted",
  "outOfRange",
  "notImplemented",
  "internal",
  "unavailable",
  "dataLoss",
  "unauthenticated",
];

/** The fault behind an answer's code and text. */
export function faultOf(code: number, message: string): FaultError {
  return new FaultError(kindOf[code] ?? "unknown", message);
}
