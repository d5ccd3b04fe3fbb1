/** How a server speaks TLS: to clients alone that have a certificate of its CA's. */
export interface ServerTls {
  /** PEM. */
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
  /** Whether a client is let in, by the common name of its certificate; undefined where it has none. */
  readonly admits: (commonName: string | undefined) => boolean;
  /** Told of who was not. */
  readonly refused: (why: string, commonName: string | undefined) => void;
}

/** What is given to the runtime. Source: RFC 7301, section 3.1 (names with their lengths before them); RFC 9113, section 3.3. */
export function tlsOptions({ cert, key, ca }: ServerTls): Readonly<Record<string, unknown>> {
  return { cert, key, ca, requestCert: true, rejectUnauthorized: true, ALPNProtocols: "\x02h2" };
}

/** What the runtime says of a finished handshake. Of its published types, some lack these. */
export interface TlsPeer {
  readonly authorized: boolean;
  readonly alpnProtocol: string | false | null;
  getPeerCertificate(): { readonly subject?: { readonly CN?: string | string[] } } | undefined;
}

/** Judges who is at the other end. Answers whether it may speak. */
export function judge(peer: TlsPeer, tls: ServerTls, success: boolean, error: Error | null | undefined): boolean {
  if (!success || error || !peer.authorized) {
    tls.refused(error?.message ?? "no certificate that this server trusts", undefined);
    return false;
  }
  const name = peer.getPeerCertificate()?.subject?.CN;
  const commonName = Array.isArray(name) ? undefined : name;
  if (tls.admits(commonName)) return true;
  tls.refused("another common name than the one that is let in", commonName);
  return false;
}
