import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { FaultError, messageOf } from "../../lib/faults.ts";
import { type ProgramSpec, programOf } from "../runtime/missing-program.ts";

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
  /** Its root, where that is said. */
  readonly root: string;
  /** Init's program; undefined where only the runtime, or a hook that runs before, can say whether it is there. */
  readonly program: ProgramSpec | undefined;
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
    root: resolve(bundle, textOf(field(field(spec, "root"), "path"))),
    program: initProgram(spec),
  };
}

/** Hooks that come before the program may put it there. */
const earlyHooks = ["prestart", "createRuntime", "createContainer"];

function initProgram(spec: unknown): ProgramSpec | undefined {
  if (earlyHooks.some((name) => list(field(field(spec, "hooks"), name)).length > 0)) return undefined;
  const mounts = list(field(spec, "mounts")).map((mount) => textOf(field(mount, "destination")) || "/");
  return programOf(field(spec, "process"), mounts);
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

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
