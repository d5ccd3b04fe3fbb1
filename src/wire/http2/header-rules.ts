import type { HeaderBlock } from "./header-block.ts";
import type { HeaderFields } from "./hpack-encoder.ts";

const requestPseudo = new Set([":method", ":scheme", ":path", ":authority"]);
const responsePseudo = new Set([":status"]);
const noPseudo: ReadonlySet<string> = new Set();
/** Source: RFC 9113 section 8.2.2. */
const connectionFields = new Set(["connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade"]);
/** Source: RFC 9113 section 8.2.1: nothing below or equal to space, no capitals, no colon but the first, nothing above DEL. */
const namePattern = /^:?[!-9;-@[-~]+$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be there
const badValue = /[\0\r\n]|^[ \t]|[ \t]$/;

/** What is wrong with a request's header block, "" when nothing. Source: RFC 9113 sections 8.2 and 8.3. */
export function requestProblem(block: HeaderBlock): string {
  block.requestProblem ??= findRequestProblem(block.fields);
  return block.requestProblem;
}

function findRequestProblem(fields: HeaderFields): string {
  const problem = fieldProblem(fields, requestPseudo);
  if (problem !== "") return problem;
  let method: string | undefined;
  let path: string | undefined;
  let scheme: string | undefined;
  for (let i = 0; i < fields.length && fields[i]!.startsWith(":"); i += 2) {
    if (fields[i] === ":method") method = fields[i + 1];
    else if (fields[i] === ":path") path = fields[i + 1];
    else if (fields[i] === ":scheme") scheme = fields[i + 1];
  }
  if (method === "CONNECT") return "CONNECT is not served";
  if (method === undefined || scheme === undefined || path === undefined) return "a pseudo-header field is missing";
  return path === "" ? ":path is empty" : "";
}

/** What is wrong with a response's header block. */
export function responseProblem(fields: HeaderFields): string {
  const problem = fieldProblem(fields, responsePseudo);
  return problem === "" && fields[0] !== ":status" ? ":status is missing" : problem;
}

/** What is wrong with trailers. */
export function trailersProblem(fields: HeaderFields): string {
  return fieldProblem(fields, noPseudo);
}

function fieldProblem(fields: HeaderFields, allowed: ReadonlySet<string>): string {
  const seen = new Set<string>();
  let regular = false;
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i]!;
    const value = fields[i + 1]!;
    if (!namePattern.test(name)) return `field name ${JSON.stringify(name)} is malformed`;
    if (badValue.test(value)) return `value of ${name} is malformed`;
    if (name.startsWith(":")) {
      if (regular) return "a pseudo-header field comes after a regular one";
      if (!allowed.has(name)) return `pseudo-header field ${name} has no place here`;
      if (seen.has(name)) return `pseudo-header field ${name} is there twice`;
      seen.add(name);
    } else {
      regular = true;
      if (connectionFields.has(name)) return `field ${name} is connection-specific`;
      if (name === "te" && value !== "trailers") return "te says something else than trailers";
    }
  }
  return "";
}
