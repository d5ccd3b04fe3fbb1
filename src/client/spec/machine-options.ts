import type { DeviceEntry, ResourceLimits, RuntimeSpec } from "./runtime-spec.ts";

/** What a caller may say of a container's part of the machine beside the usual limits. */
export interface MachineOptions {
  /** Size of /dev/shm. */
  readonly shmBytes?: number | undefined;
  readonly rlimits?: readonly { readonly type: string; readonly soft: number; readonly hard: number }[] | undefined;
  readonly devices?: readonly (DeviceEntry & { readonly access: string })[] | undefined;
  readonly sysctls?: Readonly<Record<string, string>> | undefined;
  readonly cpuShares?: number | undefined;
  /** Lists like `0-2,7`. */
  readonly cpusetCpus?: string | undefined;
  readonly cpusetMems?: string | undefined;
  /** Memory and swap together; -1 for no limit. */
  readonly swapBytes?: number | undefined;
  readonly reservedBytes?: number | undefined;
  readonly oomScoreAdj?: number | undefined;
  /** Namespaces that are this machine's. */
  readonly sharedNamespaces?: readonly ("pid" | "ipc" | "uts")[] | undefined;
  readonly annotations?: Readonly<Record<string, string>> | undefined;
  /** A static init on this machine that shall be the container's first process. */
  readonly init?: string | undefined;
  readonly noNewPrivileges?: boolean | undefined;
  /** Supplementary groups, by number. */
  readonly groups?: readonly number[] | undefined;
}

/** Where docker puts its init, too. */
const initPath = "/sbin/docker-init";

/** Writes these options into a spec that is otherwise done. */
export function applyMachineOptions(spec: RuntimeSpec, options: MachineOptions): void {
  const { process, linux } = spec;
  process.noNewPrivileges = options.noNewPrivileges === true;
  if (options.rlimits !== undefined) process.rlimits = options.rlimits.map((limit) => ({ ...limit }));
  if (options.oomScoreAdj !== undefined) process.oomScoreAdj = options.oomScoreAdj;
  if (options.groups !== undefined && options.groups.length > 0) {
    process.user.additionalGids = [...new Set([...(process.user.additionalGids ?? []), ...options.groups])];
  }
  if (options.sysctls !== undefined) linux.sysctl = { ...options.sysctls };
  if (options.annotations !== undefined) spec.annotations = { ...options.annotations };
  const shared: readonly string[] = options.sharedNamespaces ?? [];
  linux.namespaces = linux.namespaces.filter(({ type }) => !shared.includes(type));
  applyShm(spec, options.shmBytes);
  applyDevices(spec, options);
  applyResources(linux.resources, options);
  if (options.init === undefined) return;
  spec.mounts.push({ destination: initPath, type: "bind", source: options.init, options: ["bind", "ro"] });
  process.args.unshift(initPath, "--");
}

function applyShm(spec: RuntimeSpec, bytes: number | undefined): void {
  if (bytes === undefined) return;
  for (const mount of spec.mounts) {
    if (mount.destination !== "/dev/shm") continue;
    mount.options = [...mount.options.filter((option) => !option.startsWith("size=")), `size=${bytes}`];
  }
}

function applyDevices({ linux }: RuntimeSpec, { devices }: MachineOptions): void {
  if (devices === undefined || devices.length === 0) return;
  linux.devices = devices.map(({ access: _access, ...device }) => device);
  const rules = devices.map(({ type, major, minor, access }) => ({ allow: true, type, major, minor, access }));
  linux.resources.devices = [...(linux.resources.devices ?? []), ...rules];
}

function applyResources(resources: ResourceLimits, options: MachineOptions): void {
  const {
    cpuShares: shares,
    cpusetCpus: cpus,
    cpusetMems: mems,
    swapBytes: swap,
    reservedBytes: reservation,
  } = options;
  const cpu = given({ shares, cpus, mems });
  if (cpu !== undefined) resources.cpu = { ...resources.cpu, ...cpu };
  const memory = given({ swap, reservation });
  if (memory !== undefined) resources.memory = { ...resources.memory, ...memory };
}

/** The fields that have a value; undefined where none has. */
function given<T extends object>(fields: T): { [K in keyof T]?: NonNullable<T[K]> } | undefined {
  const entries = Object.entries(fields).filter(([, value]) => value !== undefined);
  return entries.length === 0 ? undefined : (Object.fromEntries(entries) as { [K in keyof T]?: NonNullable<T[K]> });
}
