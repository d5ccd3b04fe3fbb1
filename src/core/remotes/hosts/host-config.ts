import { FaultError, quote } from "../../../lib/faults.ts";

/** What a host may be asked for. A mirror that nobody vouches for has no `resolve`. */
export type HostCapability = "pull" | "resolve" | "push" | "referrers";

export const allCapabilities: ReadonlySet<HostCapability> = new Set(["pull", "resolve", "push", "referrers"]);

/** One host that stands in for a registry, as its configuration has it. */
export interface HostConfig {
  readonly scheme: "http" | "https";
  /** Name and port. */
  readonly authority: string;
  /** Where the API begins: `/v2`. */
  readonly path: string;
  readonly capabilities: ReadonlySet<HostCapability>;
  readonly caFiles: readonly string[];
  /** Certificate and key, which may be one file. */
  readonly clientPairs: readonly (readonly [string, string])[];
  readonly skipVerify?: boolean | undefined;
  readonly headers: ReadonlyMap<string, readonly string[]>;
  readonly dialTimeoutMs?: number | undefined;
  /** Try https and, where that is not spoken, http. */
  readonly plainFallback?: boolean | undefined;
}

/** A host's own settings before it is known where the host is. */
export type HostSettings = Omit<HostConfig, "scheme" | "authority" | "path"> & {
  readonly scheme?: "http" | "https" | undefined;
  readonly authority?: string | undefined;
  readonly path?: string | undefined;
};

export const noSettings: HostSettings = {
  capabilities: allCapabilities,
  caFiles: [],
  clientPairs: [],
  headers: new Map(),
};

/** Whether the host is this machine. Source: containerd core/remotes/docker/resolver.go, IsLocalhost. */
export function isLocalhost(authority: string): boolean {
  const name = (/^[^:]*:[^:]*:/.test(authority) ? authority : authority.replace(/:\d+$/, "")).replace(
    /^\[|\](?::\d+)?$/g,
    "",
  );
  return name === "localhost" || /^127\.\d{1,3}\.\d{1,3}\.\d{1,3}$/.test(name) || /^(?:0*:)*:?0*1$/.test(name);
}

/**
 * Fills in where a registry is that has no server of its own named.
 * Shape: docker.io is at registry-1.docker.io; this machine may speak plain http and its certificate is not checked.
 * Source: containerd core/remotes/docker/config/hosts.go, ConfigureHosts.
 */
export function locate(host: string, settings: HostSettings, defaultScheme: string): HostConfig {
  const { scheme, authority, path = "" } = settings;
  if (scheme !== undefined && authority !== undefined) return located({ ...settings, scheme, authority, path });
  const base = { ...settings, path: "/v2", capabilities: allCapabilities };
  if (host === "docker.io") return { ...base, scheme: "https", authority: "registry-1.docker.io" };
  if (defaultScheme === "http" || defaultScheme === "https") {
    return located({ ...base, scheme: defaultScheme, authority: host });
  }
  if (!isLocalhost(host)) return { ...base, scheme: "https", authority: host };
  const port = portOf(host);
  if (port === "80") return { ...base, scheme: "http", authority: host };
  const unchecked = { ...base, authority: host, skipVerify: settings.skipVerify ?? true };
  return located({ ...unchecked, scheme: port === "" || port === "443" ? "https" : "http" });
}

/** A host of plain http that has settings for TLS is tried with TLS first. */
function located(config: HostConfig): HostConfig {
  const hasTls = config.caFiles.length > 0 || config.clientPairs.length > 0 || config.skipVerify !== undefined;
  if (config.scheme === "https" || !hasTls || portOf(config.authority) === "80") return config;
  return { ...config, scheme: "https", plainFallback: true };
}

/** Reads Go's spelling of a time, `1m30.5s`. Errors: invalidArgument. */
export function parseDuration(text: string): number {
  const units: Readonly<Record<string, number>> = {
    h: 3_600_000,
    m: 60_000,
    s: 1000,
    ms: 1,
    us: 1e-3,
    µs: 1e-3,
    ns: 1e-6,
  };
  const parts = [...text.matchAll(/(\d+(?:\.\d*)?|\.\d+)(h|ms|m|s|us|µs|ns)/g)];
  if (text === "0") return 0;
  if (parts.length === 0 || parts.map(([whole]) => whole).join("") !== text) {
    throw new FaultError("invalidArgument", `time: invalid duration ${quote(text)}`);
  }
  return parts.reduce((sum, [, count, unit]) => sum + Number(count) * (units[unit as string] as number), 0);
}

function portOf(authority: string): string {
  return /:(\d+)$/.exec(authority)?.[1] ?? "";
}
