import { FaultError, messageOf } from "../../../lib/faults.ts";

/**
 * A host could not be reached, or a connection to it broke: what another try, or another host, may cure.
 * Shape: `lasting` is for what trying again will not change: no such name, a certificate that is not trusted.
 */
export class TransportError extends FaultError {
  readonly host: string;
  readonly lasting: boolean;
  /** Whether the host spoke something else than TLS. */
  readonly notTls: boolean;

  constructor(url: URL, why: string, options: ErrorOptions & { lasting?: boolean; notTls?: boolean } = {}) {
    super("unavailable", `registry host "${url.host}": ${why}`, options);
    this.host = url.host;
    this.lasting = options.lasting ?? false;
    this.notTls = options.notTls ?? false;
  }
}

const certificateCodes: ReadonlySet<string> = new Set([
  "SELF_SIGNED_CERT_IN_CHAIN",
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "CERT_UNTRUSTED",
]);

/** Says what the runtime's HTTP client found, so that a person knows what to do. */
export function transportError(url: URL, error: unknown): TransportError {
  const code = codeOf(error);
  const lasting = { cause: error, lasting: true };
  if (certificateCodes.has(code)) {
    const why = "its certificate is not signed by an authority that this machine trusts";
    return new TransportError(
      url,
      `${why} (${code}): name the authority's certificate as "ca" in its hosts.toml`,
      lasting,
    );
  }
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") {
    return new TransportError(url, "its certificate is for another name: use the name that is in it", lasting);
  }
  if (code === "CERT_HAS_EXPIRED") return new TransportError(url, "its certificate has expired", lasting);
  switch (code) {
    case "EPROTO":
      return new TransportError(
        url,
        "the TLS handshake failed: it may speak plain http, or ask for a client certificate",
        { ...lasting, notTls: true },
      );
    case "ECONNREFUSED":
      return new TransportError(url, "connection refused: is the registry running there?", { cause: error });
    case "ENOTFOUND":
      return new TransportError(url, "no such host: is the name right?", lasting);
    case "ECONNRESET":
      return new TransportError(url, "connection was cut", { cause: error, notTls: url.protocol === "https:" });
    case "Malformed_HTTP_Response":
    case "InvalidContentLength":
    case "ResponseHeadersTooLarge":
      return new TransportError(url, `what it answers is not proper HTTP (${code})`, { cause: error });
    default:
      return new TransportError(url, brief(error, code), { cause: error });
  }
}

function codeOf(error: unknown): string {
  const code = (error as { code?: unknown } | null)?.code;
  return typeof code === "string" ? code : "";
}

/** The runtime's words without its advice to programmers. */
function brief(error: unknown, code: string): string {
  const text = messageOf(error).replace(/\. For more information, pass .*$/s, "");
  return code === "" || text.includes(code) ? text : `${text} (${code})`;
}
