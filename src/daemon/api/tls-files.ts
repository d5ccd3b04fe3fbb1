import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { invalidArgument, messageOf, quote, wrapFault } from "../../lib/faults.ts";

/** The files of a TLS server, read and checked. PEM. */
export interface TlsFiles {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
  /** When the server's certificate ends. */
  readonly validUntil: Date;
}

/** Where they are, by the keys of the configuration. */
export interface TlsPaths {
  readonly tls_cert: string;
  readonly tls_key: string;
  readonly tls_ca: string;
}

/**
 * Reads a server's certificate with its key, and the CA of its clients.
 * Errors: invalidArgument, with the key of the configuration and the file: not there, not PEM, a key of another certificate.
 */
export async function readTlsFiles(paths: TlsPaths): Promise<TlsFiles> {
  const cert = await readPem(paths, "tls_cert");
  const key = await readPem(paths, "tls_key");
  const ca = await readPem(paths, "tls_ca");
  const certificate = parsed("tls_cert", paths.tls_cert, () => new X509Certificate(cert));
  const secret = parsed("tls_key", paths.tls_key, () => createPrivateKey(key));
  parsed("tls_ca", paths.tls_ca, () => new X509Certificate(ca));
  if (!certificate.checkPrivateKey(secret))
    throw invalidArgument(`tls_key ${quote(paths.tls_key)} does not belong to tls_cert ${quote(paths.tls_cert)}`);
  return { cert, key, ca, validUntil: new Date(certificate.validTo) };
}

async function readPem(paths: TlsPaths, name: keyof TlsPaths): Promise<string> {
  const path = paths[name];
  const text = await readFile(path, "utf8").catch((error: unknown) => {
    throw wrapFault(`${name} ${quote(path)}`, error);
  });
  if (!text.includes("-----BEGIN ")) throw invalidArgument(`${name} ${quote(path)}: there is no PEM block in it`);
  return text;
}

function parsed<T>(name: keyof TlsPaths, path: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    throw invalidArgument(`${name} ${quote(path)}: ${messageOf(error)}`, { cause: error });
  }
}
