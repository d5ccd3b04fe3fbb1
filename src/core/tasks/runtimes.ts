import { stat } from "node:fs/promises";
import { basename, dirname, isAbsolute, join } from "node:path";
import { FaultError, failedPrecondition, messageOf, quote } from "../../lib/faults.ts";
import { checkIdentifier } from "../../lib/identifiers.ts";
import { isErrno } from "../../sys/index.ts";
import { shimCgroupOf } from "../runtime-options.ts";
import {
  bootstrapOf,
  type ProcessShims,
  type RuntimeResolver,
  type Shim,
  type ShimEndpoint,
  type ShimRequest,
} from "../shims/index.ts";

/** Names of runtimes whose containers the shared host runs: those that meant runc in any version of containerd. */
const hostRuntimes: ReadonlySet<string> = new Set([
  "io.containerd.runc.v2",
  "io.containerd.runc.v1",
  "io.containerd.runtime.v1.linux",
  "io.containerd.lighter.v2",
]);

/** Older ones group by themselves: their program is asked for each task. Source: core/runtime/v2/shim_manager.go, Start. */
const sandboxVersion = 3;

/** The host's own program, which is also a shim that a path may name. */
const hostProgram = "containerd-shim-lighter-v2";

/** Where a sandbox takes the calls of its tasks; undefined when it is another controller's. */
export type SandboxEndpointLookup = (namespace: string, sandboxId: string) => Promise<ShimEndpoint | undefined>;

export interface RuntimeResolverOptions {
  readonly host: Shim;
  readonly shims: Pick<ProcessShims, "byProgram" | "inSandbox" | "ofBundle" | "atAddress">;
  /** The host's program as a shim's, for tasks that want theirs in a cgroup of the client's; undefined where there is none. */
  readonly hostShim: string | undefined;
  /** Runtimes that get their own shim, though the shared host could run their containers. */
  readonly ownShims: () => ReadonlySet<string>;
  /** Where shims are looked for, as in PATH. */
  readonly path: string;
  /** Where the shared host takes calls. */
  readonly hostAddress: string;
  /** What controllers of other processes say of where their sandboxes take the calls of tasks. */
  readonly sandboxEndpoints: ReadonlySet<SandboxEndpointLookup>;
  /** The bundle of a sandbox of the shim controller's. */
  readonly sandboxBundle: (namespace: string, id: string) => string;
}

/** Whether the shared host runs containers of that runtime. */
export function isHostRuntime(runtime: string): boolean {
  return hostRuntimes.has(runtime) || basename(runtime) === hostProgram;
}

/** Gives the shim of the task's sandbox, the shared host for what it runs, and a shim of its own for the rest. */
export function createRuntimeResolver(options: RuntimeResolverOptions): RuntimeResolver {
  const { host, shims, ownShims, path } = options;
  return {
    async resolve(request: ShimRequest): Promise<Shim> {
      const { runtime, namespace, id, bundle, sandboxId = "" } = request;
      const identity = { namespace, id, bundle };
      if (request.isFound === true) return (await shims.ofBundle(identity)) ?? host;
      if (sandboxId !== "") {
        const found = await inSandbox(options, request, checkIdentifier(sandboxId));
        if (found !== undefined) return found;
      }
      const shares = shimCgroupOf(request.options) === "";
      if (hostRuntimes.has(runtime) && !ownShims().has(runtime)) {
        return shares ? host : shims.byProgram(identity, requireHostShim(options), request.options);
      }
      const program = await findShim(runtime, path);
      const isHosts = shares && basename(program) === hostProgram && (await isSameProgram(options, runtime, program));
      return isHosts ? host : shims.byProgram(identity, program, request.options);
    },
  };
}

/** A copy of the host's program, given by its path, is another one, as an older version is: it serves the task itself. */
async function isSameProgram({ hostShim }: RuntimeResolverOptions, runtime: string, program: string): Promise<boolean> {
  if (!isAbsolute(runtime)) return true;
  const [ours, theirs] = await Promise.all([stat(hostShim ?? process.execPath), stat(program)]);
  return ours.dev === theirs.dev && ours.ino === theirs.ino;
}

/** Errors: failedPrecondition. */
function requireHostShim({ hostShim }: RuntimeResolverOptions): string {
  if (hostShim !== undefined) return hostShim;
  throw failedPrecondition(`a shim in a cgroup of its own needs ${quote(hostProgram)} beside the daemon's program`);
}

/** The shim of a task's sandbox; undefined when the task's own runtime is to be asked. */
async function inSandbox(
  options: RuntimeResolverOptions,
  { namespace, id, bundle, taskApi }: ShimRequest,
  sandboxId: string,
): Promise<Shim | undefined> {
  const { shims, sandboxBundle, hostAddress, host } = options;
  const identity = { namespace, id, bundle };
  if (taskApi === undefined) {
    const found = await shims.inSandbox(identity, sandboxId, sandboxBundle(namespace, sandboxId));
    if (found !== undefined) return found;
  }
  const endpoint = taskApi ?? (await endpointOf(options, namespace, sandboxId));
  if (endpoint === undefined) return undefined;
  if (endpoint.address === hostAddress) return host;
  const bootstrap = bootstrapOf(endpoint);
  return bootstrap.version < sandboxVersion ? undefined : shims.atAddress(identity, sandboxId, bootstrap);
}

async function endpointOf(
  { sandboxEndpoints }: RuntimeResolverOptions,
  namespace: string,
  sandboxId: string,
): Promise<ShimEndpoint | undefined> {
  for (const lookup of sandboxEndpoints) {
    const found = await lookup(namespace, sandboxId);
    if (found !== undefined) return found;
  }
  return undefined;
}

/**
 * The shim program of a runtime.
 * Errors: unknown, with containerd's texts.
 * Source: containerd core/runtime/v2/shim_manager.go, resolveRuntimePath; pkg/shim/util.go, BinaryName.
 */
export async function findShim(runtime: string, path: string): Promise<string> {
  if (runtime === "") throw refused("no runtime name");
  if (isAbsolute(runtime)) {
    await stat(runtime).catch((error: unknown) => {
      throw refused(`invalid custom binary path: stat ${runtime}: ${goText(error)}`);
    });
    return runtime;
  }
  const parts = runtime.split(".");
  if (runtime.includes("/") || parts.length < 2 || parts[0] === "") {
    throw refused(
      `invalid runtime name ${runtime}, correct runtime name should be either format like \`io.containerd.runc.v2\` or a full path to the binary`,
    );
  }
  const name = `containerd-shim-${parts.at(-2)}-${parts.at(-1)}`;
  const found = Bun.which(name, { PATH: path }) ?? (await besideUs(name));
  if (found === undefined)
    throw refused(`runtime ${quote(runtime)} binary not installed ${quote(name)}: file does not exist`);
  return found;
}

async function besideUs(name: string): Promise<string | undefined> {
  const candidate = join(dirname(process.execPath), name);
  return (await Bun.file(candidate).exists()) ? candidate : undefined;
}

function refused(why: string): FaultError {
  return new FaultError("unknown", `failed to resolve runtime path: ${why}`);
}

function goText(error: unknown): string {
  return isErrno(error, "ENOENT") ? "no such file or directory" : messageOf(error);
}
