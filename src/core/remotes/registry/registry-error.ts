import { FaultError, type FaultKind, kindText } from "../../../lib/faults.ts";
import type { HttpAnswer } from "../http/http-client.ts";
import { readBeginning } from "../http/limited-body.ts";

/** The most of an answer that is read for what it says. Source: containerd core/remotes/errors/errors.go. */
const maxErrorBytes = 64_000;
const maxShown = 512;

/** A host's answer that is not what was asked for. */
export class StatusError extends FaultError {
  readonly status: number;
  /** The registry's own codes: `MANIFEST_UNKNOWN`. */
  readonly codes: readonly string[];

  constructor(kind: FaultKind, message: string, status: number, codes: readonly string[]) {
    super(kind, message);
    this.status = status;
    this.codes = codes;
  }
}

/**
 * Makes the error of an unexpected status, with what the registry says of it.
 * Source: containerd core/remotes/errors/errors.go; distribution-spec, error codes.
 */
export async function statusError(method: string, answer: HttpAnswer, subject: string): Promise<StatusError> {
  const { codes, words } = describeErrors(await readBeginning(answer, maxErrorBytes));
  const kind = kindOf(answer.status);
  const said = words === "" ? "" : `: ${words}`;
  const text = `${subject}: unexpected status from ${method} request to ${shownUrl(answer.url)}: ${answer.status} ${reason(answer.status)}${said}`;
  const tail = kind === "unknown" || text.endsWith(kindText[kind]) ? "" : `: ${kindText[kind]}`;
  return new StatusError(kind, `${text.trimEnd()}${tail}`, answer.status, codes);
}

/** An address without what may be secret: a user's name and password, and the values of a query. */
export function shownUrl(url: URL): string {
  const shown = new URL(url);
  shown.username = "";
  shown.password = "";
  for (const key of new Set(shown.searchParams.keys())) if (key !== "ns") shown.searchParams.set(key, "REDACTED");
  return shown.href;
}

function kindOf(status: number): FaultKind {
  if (status === 401) return "unauthenticated";
  if (status === 403) return "permissionDenied";
  if (status === 404) return "notFound";
  if (status === 408 || status >= 500) return "unavailable";
  return status === 429 ? "resourceExhausted" : "unknown";
}

function describeErrors(body: Uint8Array): { codes: string[]; words: string } {
  const errors = errorList(body);
  const texts: string[] = [];
  const codes: string[] = [];
  for (const one of errors.slice(0, 8)) {
    const { code, message } = (one ?? {}) as { code?: unknown; message?: unknown };
    if (typeof code === "string") codes.push(code);
    const words = [code, message].filter((part) => typeof part === "string" && part !== "") as string[];
    if (words.length > 0) texts.push(printable(words.join(": ")));
  }
  return { codes, words: texts.join("; ").slice(0, maxShown) };
}

function errorList(body: Uint8Array): readonly unknown[] {
  try {
    const { errors } = JSON.parse(new TextDecoder().decode(body)) as { errors?: unknown };
    return Array.isArray(errors) ? errors : [];
  } catch {
    // Not every host answers in JSON: a proxy's page says nothing that helps.
    return [];
  }
}

function printable(text: string): string {
  return text.replace(/[^\P{C}]/gu, " ").trim();
}

function reason(status: number): string {
  const words: Readonly<Record<number, string>> = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    413: "Request Entity Too Large",
    416: "Requested Range Not Satisfiable",
    429: "Too Many Requests",
    500: "Internal Server Error",
    502: "Bad Gateway",
    503: "Service Unavailable",
    504: "Gateway Timeout",
  };
  return words[status] ?? "";
}
