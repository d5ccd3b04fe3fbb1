import { readFile } from "node:fs/promises";
import { wrapFault } from "../../../lib/faults.ts";
import type { Logger } from "../../../lib/log.ts";
import type { HostConfig } from "./host-config.ts";

/** TLS as the runtime's client takes it. */
export interface TlsSettings {
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
  readonly rejectUnauthorized?: boolean;
}

/** Where distributions keep the certificates that the machine trusts. Source: Go crypto/x509/root_linux.go. */
const systemBundles: readonly string[] = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/ca-bundle.pem",
  "/etc/pki/tls/cacert.pem",
  "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
  "/etc/ssl/cert.pem",
];

/**
 * Loads what a host needs for TLS; nothing for one that is only asked in plain text.
 * Shape: a host's CAs are trusted beside those of the machine.
 * Errors: what reading says, naming the file and the key of hosts.toml it came from.
 */
export async function loadTls(host: HostConfig, log: Logger): Promise<TlsSettings> {
  if (host.scheme === "http") return {};
  if (host.clientPairs.length > 1) {
    // The runtime's client offers one; containerd's lets the server choose.
    log.warn("only the first client certificate is offered", { host: host.authority });
  }
  const [pair] = host.clientPairs;
  const client =
    pair === undefined ? {} : { cert: await readPem(pair[0], "client"), key: await readPem(pair[1], "client") };
  if (host.skipVerify === true) return { ...client, rejectUnauthorized: false };
  const own = await Promise.all(host.caFiles.map((file) => readPem(file, "ca")));
  const system = await systemBundle();
  if (system === undefined && own.length === 0) return client;
  return { ...client, ca: [system ?? "", ...own].join("\n") };
}

async function readPem(file: string, key: string): Promise<string> {
  const text = await readFile(file, "utf8").catch((error: unknown) => {
    throw wrapFault(`unable to read ${key} ${JSON.stringify(file)}`, error);
  });
  if (text.includes("-----BEGIN ")) return text;
  throw wrapFault(`unable to load ${key} ${JSON.stringify(file)}`, new Error("no PEM block in it"));
}

async function systemBundle(): Promise<string | undefined> {
  const named = process.env["SSL_CERT_FILE"];
  for (const file of named === undefined || named === "" ? systemBundles : [named, ...systemBundles]) {
    const text = await readFile(file, "utf8").catch(() => undefined); // Not every distribution has every one.
    if (text !== undefined) return text;
  }
  return undefined;
}
