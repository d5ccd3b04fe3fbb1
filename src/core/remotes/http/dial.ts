import { TransportError, transportError } from "./transport-error.ts";

/** How long a mirror may take to accept a connection when nothing else is configured: another host can be asked. */
export const mirrorDialTimeoutMs = 5_000;

/**
 * Finds out whether a connection to a host comes about.
 * Errors: TransportError.
 */
export async function dial(url: URL, timeoutMs: number): Promise<void> {
  // Seldom needed, and large: a start does not load it.
  const { connect } = await import("node:net");
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const host = url.hostname.replace(/^\[|\]$/g, "");
  const port = Number(url.port) || (url.protocol === "https:" ? 443 : 80);
  const socket = connect({ host, port });
  const timer = setTimeout(() => {
    reject(new TransportError(url, `no connection within ${timeoutMs / 1000}s: is it up?`));
  }, timeoutMs);
  socket.once("connect", () => resolve());
  socket.once("error", (error) => reject(transportError(url, error)));
  try {
    await promise;
  } finally {
    clearTimeout(timer);
    socket.destroy();
  }
}

/** Whether the environment sends requests to this host through a proxy, so that a connection of our own says nothing. */
export function isProxied(url: URL, env: Readonly<Record<string, string | undefined>>): boolean {
  const name = url.protocol === "https:" ? "https_proxy" : "http_proxy";
  return (env[name] ?? env[name.toUpperCase()] ?? "") !== "";
}
