import { invalidArgument, quote } from "./faults.ts";

/** The longest identifier. Source: containerd pkg/identifiers/validate.go. */
export const identifierMaxLength = 76;

const identifierPattern = /^[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*$/;

/**
 * Checks a name that may become a path: a namespace, a container, an exec, a lease.
 * Shape: groups of ASCII letters and digits joined by single `.`, `_` or `-`, 76 characters at most.
 * Errors: invalidArgument, with containerd's texts.
 */
export function checkIdentifier(value: string): string {
  if (value === "") throw invalidArgument("identifier must not be empty");
  if (value.length > identifierMaxLength) {
    throw invalidArgument(`identifier ${quote(value)} greater than maximum length (${identifierMaxLength} characters)`);
  }
  if (!identifierPattern.test(value)) {
    throw invalidArgument(`identifier ${quote(value)} must match ${goIdentifierPattern}`);
  }
  return value;
}

/** As containerd prints its pattern; clients compare the text. */
const goIdentifierPattern = "^[A-Za-z0-9]+(?:[._-](?:[A-Za-z0-9]+))*$";
