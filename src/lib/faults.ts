/** Every way in which an operation can fail, as containerd's errdefs has them. The set is closed: wire/status.ts maps each. */
export type FaultKind =
  | "unknown"
  | "invalidArgument"
  | "notFound"
  | "alreadyExists"
  | "permissionDenied"
  | "resourceExhausted"
  | "failedPrecondition"
  | "conflict"
  | "notModified"
  | "aborted"
  | "outOfRange"
  | "notImplemented"
  | "internal"
  | "unavailable"
  | "dataLoss"
  | "unauthenticated"
  | "canceled"
  | "deadlineExceeded";

/**
 * The one error class that crosses a room's door.
 * Shape: `message` is lower case, outer context first, values quoted, and for the kinds that Go clients tell by text ends
 * with the kind's own words ("container \"x\": not found").
 */
export class FaultError extends Error {
  readonly kind: FaultKind;
  constructor(kind: FaultKind, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "FaultError";
    this.kind = kind;
  }
}

/** The words that errdefs puts at the end of a message of each kind, and by which old clients tell them. */
export const kindText: Readonly<Record<FaultKind, string>> = {
  unknown: "unknown",
  invalidArgument: "invalid argument",
  notFound: "not found",
  alreadyExists: "already exists",
  permissionDenied: "permission denied",
  resourceExhausted: "resource exhausted",
  failedPrecondition: "failed precondition",
  conflict: "conflict",
  notModified: "not modified",
  aborted: "aborted",
  outOfRange: "out of range",
  notImplemented: "not implemented",
  internal: "internal",
  unavailable: "unavailable",
  dataLoss: "data loss",
  unauthenticated: "unauthenticated",
  canceled: "context canceled",
  deadlineExceeded: "context deadline exceeded",
};

/** Makes a fault whose message ends with the kind's words. */
export function fault(kind: FaultKind, message: string, options?: ErrorOptions): FaultError {
  return new FaultError(kind, message === "" ? kindText[kind] : `${message}: ${kindText[kind]}`, options);
}

export const notFound = (message: string, options?: ErrorOptions): FaultError => fault("notFound", message, options);
export const alreadyExists = (message: string, options?: ErrorOptions): FaultError =>
  fault("alreadyExists", message, options);
export const invalidArgument = (message: string, options?: ErrorOptions): FaultError =>
  fault("invalidArgument", message, options);
export const failedPrecondition = (message: string, options?: ErrorOptions): FaultError =>
  fault("failedPrecondition", message, options);
export const notImplemented = (message: string, options?: ErrorOptions): FaultError =>
  fault("notImplemented", message, options);
export const unavailable = (message: string, options?: ErrorOptions): FaultError =>
  fault("unavailable", message, options);

/** Puts context before a failure's message and keeps its kind; anything that is not a fault becomes `unknown`. */
export function wrapFault(context: string, error: unknown): FaultError {
  const kind = error instanceof FaultError ? error.kind : "unknown";
  return new FaultError(kind, `${context}: ${messageOf(error)}`, { cause: error });
}

/** The text of anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** True for a fault of that kind. */
export function isFault(error: unknown, kind: FaultKind): error is FaultError {
  return error instanceof FaultError && error.kind === kind;
}

/** A value in an error's text, quoted as Go's %q does for plain text. */
export function quote(value: string): string {
  return JSON.stringify(value);
}
