import { FaultError } from "./faults.ts";

/** A digest as OCI writes it: `sha256:` and 64 hex digits (sha384 and sha512 likewise). Made only here. */
export type Digest = string & { readonly __brand: "Digest" };

export type DigestAlgorithm = "sha256" | "sha384" | "sha512";

/** The algorithm of whatever comes without a digest to match. */
export const canonicalAlgorithm: DigestAlgorithm = "sha256";

const hexLengths: Readonly<Record<DigestAlgorithm, number>> = { sha256: 64, sha384: 96, sha512: 128 };

const digestPattern = /^[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[a-zA-Z0-9=_-]+$/;
const hexPattern = /^[a-f0-9]+$/;

/**
 * Checks a digest that came from outside; the result may become a path.
 * Errors: invalidArgument, the message being exactly go-digest's text for the failure.
 * Source: opencontainers/go-digest digest.go Validate, algorithm.go Validate.
 */
export function parseDigest(text: string): Digest {
  const problem = digestProblem(text);
  if (problem !== undefined) throw new FaultError("invalidArgument", problem);
  return text as Digest;
}

/** What go-digest would say is wrong with a digest; undefined when nothing is. */
export function digestProblem(text: string): string | undefined {
  const colon = text.indexOf(":");
  if (colon <= 0 || colon === text.length - 1) return "invalid checksum digest format";
  const algorithm = text.slice(0, colon);
  if (!isAlgorithm(algorithm)) {
    return digestPattern.test(text) ? "unsupported digest algorithm" : "invalid checksum digest format";
  }
  const encoded = text.slice(colon + 1);
  if (encoded.length !== hexLengths[algorithm]) return "invalid checksum digest length";
  return hexPattern.test(encoded) ? undefined : "invalid checksum digest format";
}

/** A digest's algorithm. */
export function algorithmOf(digest: Digest): DigestAlgorithm {
  return digest.slice(0, digest.indexOf(":")) as DigestAlgorithm;
}

/** A digest's hex digits. */
export function encodedOf(digest: Digest): string {
  return digest.slice(digest.indexOf(":") + 1);
}

/** The digest of these bytes, or of the text's UTF-8. */
export function digestOf(bytes: Uint8Array | string, algorithm: DigestAlgorithm = canonicalAlgorithm): Digest {
  return `${algorithm}:${new Bun.CryptoHasher(algorithm).update(bytes).digest("hex")}` as Digest;
}

/** A digest in the making. */
export interface Digester {
  readonly algorithm: DigestAlgorithm;
  update(bytes: Uint8Array): void;
  /** The digest of everything so far; more may follow. */
  digest(): Digest;
}

/** Starts a digest. */
export function createDigester(algorithm: DigestAlgorithm = canonicalAlgorithm): Digester {
  const hasher = new Bun.CryptoHasher(algorithm);
  return {
    algorithm,
    update: (bytes) => {
      hasher.update(bytes);
    },
    digest: () => `${algorithm}:${hasher.copy().digest("hex")}` as Digest,
  };
}

function isAlgorithm(text: string): text is DigestAlgorithm {
  return Object.hasOwn(hexLengths, text);
}
