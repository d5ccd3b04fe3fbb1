import { FaultError, messageOf } from "../../lib/faults.ts";

/** Where one output goes. */
export type OutputTarget =
  | { readonly kind: "null" }
  | { readonly kind: "fifo"; readonly path: string }
  | { readonly kind: "file"; readonly path: string }
  | {
      readonly kind: "binary";
      readonly path: string;
      readonly args: readonly string[];
      /** `binary-v2`: the logger must say that it is ready; its silence is a failure. */
      readonly mustSayReady: boolean;
    };

/**
 * Reads an output's address: empty, a path, `fifo://`, `file://`, `binary://` or `binary-v2://`.
 * Shape: a binary's query becomes its arguments, key and value in turn, in the order in which they are written.
 * Errors: unknown `unknown STDIO scheme x`, as containerd's shim says it.
 */
export function parseOutput(address: string): OutputTarget {
  if (address === "") return { kind: "null" };
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]*):/.exec(address)?.[1]?.toLowerCase();
  if (scheme === undefined) return { kind: "fifo", path: address };
  let url: URL;
  try {
    url = new URL(address);
  } catch (error) {
    throw new FaultError("unknown", `unable to parse stdout uri: ${messageOf(error)}`, { cause: error });
  }
  const path = decodeURIComponent(url.pathname);
  switch (scheme) {
    case "fifo":
      return { kind: "fifo", path };
    case "file":
      return { kind: "file", path };
    case "binary":
    case "binary-v2":
      return { kind: "binary", path, args: queryArgs(url), mustSayReady: scheme === "binary-v2" };
    default:
      throw new FaultError("unknown", `unknown STDIO scheme ${scheme}`);
  }
}

function queryArgs(url: URL): string[] {
  const args: string[] = [];
  const seen = new Set<string>();
  for (const [key, value] of url.searchParams) {
    if (seen.has(key)) continue;
    seen.add(key);
    // containerd passes an empty value on as an empty argument.
    args.push(key, value);
  }
  return args;
}
