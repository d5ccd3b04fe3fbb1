import { readFileSync } from "node:fs";
import { join } from "node:path";
import { FaultError, messageOf } from "../../lib/faults.ts";

/** What the host needs to know of a bundle's config.json; the runtime reads and checks the rest. */
export interface BundleSpec {
  /** The version of the runtime-spec that it is written by; empty where it names none. */
  readonly ociVersion: string;
  /** The runtime must run `start` itself, since it runs these hooks then. */
  readonly hasPoststartHooks: boolean;
  /** The runtime must run `delete` itself: it has hooks to run then, or more to remove than a cgroup and its state. */
  readonly needsRuntimeDelete: boolean;
  /** With a pid namespace of its own, the kernel ends everything in it when init ends. */
  readonly hasPrivatePids: boolean;
  readonly terminal: boolean;
  /** The path of its cgroup, where that is one. */
  readonly cgroupsPath: string;
}

/** Reads a bundle's config.json. Errors: unknown, worded as a failed create, when it is missing or no JSON object. */
export function readBundleSpec(bundle: string): BundleSpec {
  let spec: unknown;
  try {
    spec = JSON.parse(readFileSync(join(bundle, "config.json"), "utf8"));
  } catch (error) {
    throw new FaultError("unknown", `OCI runtime create failed: config.json: ${messageOf(error)}`, { cause: error });
  }
  const namespaces = list(field(field(spec, "linux"), "namespaces"));
  const ociVersion = field(spec, "ociVersion");
  return {
    ociVersion: typeof ociVersion === "string" ? ociVersion : "",
    hasPoststartHooks: list(field(field(spec, "hooks"), "poststart")).length > 0,
    needsRuntimeDelete:
      list(field(field(spec, "hooks"), "poststop")).length > 0 || field(field(spec, "linux"), "intelRdt") !== undefined,
    hasPrivatePids: namespaces.some((one) => field(one, "type") === "pid" && !field(one, "path")),
    terminal: field(field(spec, "process"), "terminal") === true,
    cgroupsPath: cgroupsPathOf(field(field(spec, "linux"), "cgroupsPath")),
  };
}

/** With systemd's driver it names a slice and a unit instead. */
function cgroupsPathOf(value: unknown): string {
  return typeof value === "string" && value.startsWith("/") && !value.split("/").includes("..") ? value : "";
}

function field(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null && Object.hasOwn(value, name)
    ? (value as Record<string, unknown>)[name]
    : undefined;
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
