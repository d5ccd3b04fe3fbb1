import { FaultError, invalidArgument, notImplemented, quote } from "../../lib/faults.ts";
import type { MountStep, MountTransform } from "../../workers/index.ts";
import type { MountSpec } from "./mount-spec.ts";

/** What the manager does of a list of mounts, and what it leaves. */
export interface MountPlan {
  /** To be made, in order, each on the folder of that name. */
  readonly steps: readonly (MountStep & { readonly folder: string })[];
  /** The first that is left, where it has to be transformed. */
  readonly last: MountStep | undefined;
  /** The rest, as it came. */
  readonly rest: readonly MountSpec[];
}

/** Types that the manager can mount and runtimes can't. Source: containerd plugins/mount. */
const handledTypes: ReadonlySet<string> = new Set(["erofs"]);

const transformNames: ReadonlySet<string> = new Set<MountTransform>(["format", "mkdir", "mkfs"]);

/** Types that whoever takes what is left can do itself; `format/*` stands for all that are to be formatted. */
export type AllowedTypes = ReadonlySet<string>;

const noTypes: AllowedTypes = new Set();

/** containerd keeps the number of each mount in one byte. */
const maxMounts = 255;

/**
 * Decides which mounts are the manager's: all before the last that has to be prepared, all up to the last of a type with a
 * handler; every one of a temporary activation.
 * Errors: notImplemented (none is), invalidArgument (too many; a target that leads out of its mount point).
 * Source: containerd core/mount/manager/manager.go, Activate.
 */
export function planMounts(
  mounts: readonly MountSpec[],
  temporary: boolean,
  allowed: AllowedTypes = noTypes,
): MountPlan {
  let first = -1;
  const steps = mounts.map((mount, at) => {
    const { step, prepared } = stepOf(mount, allowed);
    if (prepared) first = at;
    if (temporary || isHandled(step.request.type, allowed)) first = at + 1;
    return step;
  });
  if (first === -1) throw notImplemented("");
  checkCounts(first, mounts.length - first);
  for (const { request } of steps.slice(0, first)) checkTarget(request.target);
  const next = steps[first];
  const transformed = next !== undefined && next.transforms.length > 0 ? next : undefined;
  return {
    // The last one has the lowest number, so that names in order are mounts in the order in which they go.
    steps: steps.slice(0, first).map((step, at) => ({ ...step, folder: folderName(first - at, first) })),
    last: transformed,
    rest: mounts.slice(transformed === undefined ? first : first + 1),
  };
}

/** Whether a container's runtime could not make these alone: whether `planMounts` has a plan for them. */
export function needsManager(mounts: readonly MountSpec[], allowed: AllowedTypes = noTypes): boolean {
  return mounts.some((mount) => {
    const { step, prepared } = stepOf(mount, allowed);
    return prepared || isHandled(step.request.type, allowed);
  });
}

function isHandled(type: string, allowed: AllowedTypes): boolean {
  return handledTypes.has(type) && !allowed.has(type);
}

/** `format/mkdir/overlay` is an overlay that is to be formatted and to have folders made for it first. */
function stepOf(mount: MountSpec, allowed: AllowedTypes): { readonly step: MountStep; readonly prepared: boolean } {
  const transforms: MountTransform[] = [];
  let prepared = false;
  let type = mount.type;
  for (let slash = type.indexOf("/"); slash >= 0; slash = type.indexOf("/")) {
    const name = type.slice(0, slash);
    if (!transformNames.has(name)) break;
    transforms.push(name as MountTransform);
    prepared ||= !allowed.has(`${name}/*`) && !allowed.has(mount.type);
    type = type.slice(slash + 1);
  }
  const { source, target, options } = mount;
  return { step: { request: { type, source, target, options }, transforms }, prepared };
}

function checkCounts(active: number, system: number): void {
  if (system > maxMounts) throw new FaultError("unknown", `too many system mounts (${system}): maximum ${maxMounts}`);
  if (active > maxMounts) throw invalidArgument(`too many mounts (${active}): maximum ${maxMounts}`);
}

function checkTarget(target: string): void {
  if (target.split("/").includes("..")) throw invalidArgument(`mount target ${quote(target)}`);
}

function folderName(number: number, count: number): string {
  return String(number).padStart(count > 100 ? 3 : count > 10 ? 2 : 1, "0");
}
