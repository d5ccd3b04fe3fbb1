import { invalidArgument, quote } from "../../lib/faults.ts";
import type { ImageConfig } from "../images/image-config.ts";
import { changedCapabilities } from "./capabilities.ts";
import { defaultPath, defaultSpec } from "./default-spec.ts";
import { hostNetworkMounts } from "./host-network.ts";
import { applyMachineOptions, type MachineOptions } from "./machine-options.ts";
import type { MountEntry, RuntimeSpec, UserSpec } from "./runtime-spec.ts";

/** What a caller may say about a container beside its image. */
export interface SpecOptions extends MachineOptions {
  readonly args?: readonly string[] | undefined;
  /** Replaces the image's entrypoint, and with it the image's command. */
  readonly entrypoint?: readonly string[] | undefined;
  /** `NAME=value`, later ones win. */
  readonly env?: readonly string[] | undefined;
  readonly cwd?: string | undefined;
  readonly terminal?: boolean | undefined;
  /** The terminal's first size, so that no program sees one of none. */
  readonly consoleSize?: { readonly width: number; readonly height: number } | undefined;
  readonly readOnly?: boolean | undefined;
  readonly hostname?: string | undefined;
  readonly network?: "none" | "host" | undefined;
  readonly mounts?: readonly MountEntry[] | undefined;
  readonly capAdd?: readonly string[] | undefined;
  readonly capDrop?: readonly string[] | undefined;
  readonly privileged?: boolean | undefined;
  /** How many CPUs' time the container may take, e.g. 1.5. */
  readonly cpus?: number | undefined;
  readonly memoryBytes?: number | undefined;
  readonly pidsLimit?: number | undefined;
  /** An absolute path in place of the bundle's rootfs. */
  readonly rootfs?: string | undefined;
}

const cpuPeriod = 100_000;

/**
 * The spec of a container from its image's config and what the caller says.
 * Errors: invalidArgument when no command is known, or a capability or path is malformed.
 * Effects: none, but with the host's network it looks which of the host's files there are, and privileged reads this
 * process's capabilities.
 */
export function containerSpec(
  namespace: string,
  id: string,
  image: ImageConfig,
  user: UserSpec,
  options: SpecOptions,
): RuntimeSpec {
  const spec = defaultSpec(namespace, id);
  const { process } = spec;
  process.user = user;
  process.args = argsOf(image, options);
  process.env = mergedEnv(image.env.length > 0 ? image.env : [defaultPath], options);
  process.cwd = absolute(options.cwd ?? (image.cwd === "" ? "/" : image.cwd));
  if (options.terminal === true) {
    process.terminal = true;
    if (options.consoleSize !== undefined) process.consoleSize = { ...options.consoleSize };
  }
  const hostname = options.hostname ?? ownHostname(id, options);
  if (hostname !== undefined) {
    spec.hostname = hostname;
    if (!process.env.some((entry) => entry.startsWith("HOSTNAME="))) process.env.push(`HOSTNAME=${hostname}`);
  }
  if (options.readOnly === true) spec.root.readonly = true;
  if (options.rootfs !== undefined) spec.root.path = options.rootfs;
  spec.mounts = withMounts(spec.mounts, options.mounts ?? []);
  applyNetwork(spec, options.network ?? "none");
  applyPrivileges(spec, options);
  applyLimits(spec, options);
  applyMachineOptions(spec, options);
  return spec;
}

/** The kernel's bound for a host name. Source: sethostname(2). */
const maxHostname = 64;

/** A container's host name is its id, as docker has it, unless it shares this machine's. */
function ownHostname(id: string, { network, sharedNamespaces }: SpecOptions): string | undefined {
  return network === "host" || sharedNamespaces?.includes("uts") === true ? undefined : id.slice(0, maxHostname);
}

function argsOf(image: ImageConfig, options: SpecOptions): string[] {
  const given = options.args ?? [];
  const args =
    options.entrypoint === undefined
      ? [...image.entrypoint, ...(given.length > 0 ? given : image.cmd)]
      : [...options.entrypoint, ...given];
  if (args.length === 0) throw invalidArgument("no command given, and the image has none");
  return args;
}

/** Later names win and keep the first one's place. Source: containerd pkg/oci/spec_opts.go, replaceOrAppendEnvValues. */
function mergedEnv(defaults: readonly string[], options: SpecOptions): string[] {
  const merged = new Map<string, string>();
  const terminal = options.terminal === true ? ["TERM=xterm"] : [];
  for (const entry of [...defaults, ...terminal, ...(options.env ?? [])]) {
    const at = entry.indexOf("=");
    if (at === 0) throw invalidArgument(`environment ${quote(entry)} has no name`);
    merged.set(at < 0 ? entry : entry.slice(0, at), entry);
  }
  return [...merged.values()].filter((entry) => entry.includes("="));
}

function absolute(cwd: string): string {
  if (!cwd.startsWith("/")) throw invalidArgument(`working directory ${quote(cwd)} is not an absolute path`);
  return cwd;
}

/** A mount of the caller's takes the place of a default one at the same path. */
function withMounts(defaults: readonly MountEntry[], added: readonly MountEntry[]): MountEntry[] {
  const taken = new Set(added.map((entry) => entry.destination));
  return [...defaults.filter((entry) => !taken.has(entry.destination)), ...added];
}

function applyNetwork(spec: RuntimeSpec, network: "none" | "host"): void {
  if (network === "none") return;
  spec.linux.namespaces = spec.linux.namespaces.filter(({ type }) => type !== "network");
  spec.mounts = withMounts(hostNetworkMounts(), spec.mounts).sort(byDepth);
}

/** Parents before what lies in them; otherwise in the order given. */
function byDepth(a: MountEntry, b: MountEntry): number {
  return a.destination.split("/").length - b.destination.split("/").length;
}

function applyPrivileges(spec: RuntimeSpec, options: SpecOptions): void {
  const change = { add: options.capAdd ?? [], drop: options.capDrop ?? [], all: options.privileged === true };
  const capabilities = changedCapabilities(change);
  spec.process.capabilities = {
    bounding: capabilities,
    effective: [...capabilities],
    permitted: [...capabilities],
  };
  if (options.privileged !== true) return;
  spec.linux.maskedPaths = [];
  spec.linux.readonlyPaths = [];
  spec.linux.resources.devices = [{ allow: true, access: "rwm" }];
  for (const entry of spec.mounts) {
    if (entry.type === "sysfs") entry.options = entry.options.filter((option) => option !== "ro");
  }
}

function applyLimits(spec: RuntimeSpec, options: SpecOptions): void {
  const { resources } = spec.linux;
  if (options.cpus !== undefined) resources.cpu = { quota: Math.round(options.cpus * cpuPeriod), period: cpuPeriod };
  // Swap is left alone: the kernel's account of it may be off, and a limit that cannot be set would fail the container.
  if (options.memoryBytes !== undefined) resources.memory = { limit: options.memoryBytes };
  if (options.pidsLimit !== undefined) resources.pids = { limit: options.pidsLimit };
}
