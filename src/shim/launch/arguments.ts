import { FaultError } from "../../lib/faults.ts";

/** What a containerd tells its shims on the command line. Source: containerd pkg/shim/shim.go, parseFlags. */
export interface ShimArguments {
  /** `start`, `delete`; empty for `-v` and `-info`. */
  readonly action: string;
  readonly namespace: string;
  readonly id: string;
  /** The daemon's gRPC socket. */
  readonly address: string;
  /** Where the bundle is; the current folder when empty. */
  readonly bundle: string;
  readonly debug: boolean;
  readonly version: boolean;
  readonly info: boolean;
}

const switches: ReadonlySet<string> = new Set(["debug", "v", "version", "info"]);
const valued: ReadonlySet<string> = new Set([
  "namespace",
  "id",
  "address",
  "bundle",
  "publish-binary",
  "socket",
  "debug-socket",
]);

/**
 * Reads a command line as Go's flag package does: one dash or two, `-flag value` or `-flag=value`, until the first word
 * that is no flag.
 * Errors: invalidArgument, in Go's words.
 */
export function parseShimArguments(words: readonly string[]): ShimArguments {
  const values = new Map<string, string>();
  let at = 0;
  for (; at < words.length; at += 1) {
    const found = /^--?([^=-][^=]*)(?:=(.*))?$/s.exec(words[at] ?? "");
    if (found === null) break;
    const [, name = "", inline] = found;
    if (switches.has(name)) values.set(name, inline ?? "true");
    else if (!valued.has(name)) throw refused(`flag provided but not defined: -${name}`);
    else if (inline !== undefined) values.set(name, inline);
    else {
      at += 1;
      const value = words[at];
      if (value === undefined) throw refused(`flag needs an argument: -${name}`);
      values.set(name, value);
    }
  }
  const text = (name: string): string => values.get(name) ?? "";
  const on = (name: string): boolean => values.get(name) === "true";
  return {
    action: words[at] ?? "",
    namespace: text("namespace"),
    id: text("id"),
    address: text("address"),
    bundle: text("bundle"),
    debug: on("debug"),
    version: on("v") || on("version"),
    info: on("info"),
  };
}

const refused = (why: string): FaultError => new FaultError("invalidArgument", why);
