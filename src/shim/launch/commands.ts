import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { AnySchema } from "@bufbuild/protobuf/wkt";
import {
  type BootstrapParams,
  BootstrapParamsSchema,
  BootstrapResultSchema,
} from "../../gen/containerd/runtime/bootstrap/v1/bootstrap_pb.ts";
import { type DeleteResponse, DeleteResponseSchema, Task } from "../../gen/containerd/task/v3/shim_pb.ts";
import { RuntimeInfoSchema, RuntimeRequestSchema } from "../../gen/containerd/types/introspection_pb.ts";
import { Host } from "../../gen/lighter/shim/v1/host_pb.ts";
import { systemClock } from "../../lib/clock.ts";
import { createCtx } from "../../lib/ctx.ts";
import { FaultError, isFault } from "../../lib/faults.ts";
import { checkIdentifier } from "../../lib/identifiers.ts";
import { apiVersion, revision } from "../../lib/version.ts";
import { anyOf, anyTo } from "../../wire/any.ts";
import { parseShimArguments, type ShimArguments } from "./arguments.ts";
import { hostPlace } from "./place.ts";
import { connectHost, type LaunchOptions, reachHost } from "./reach-host.ts";
import { noteCgroup, notedCgroup, wantedCgroup } from "./shim-cgroup.ts";

const program = "containerd-shim-lighter-v2";

/** The version of the Task API that a containerd that knows versions is told. */
const taskVersion = 3;
/** What containerd's own shims say of an end that they bring about. Source: cmd/containerd-shim-runc-v2/manager, Stop. */
const killedStatus = 137;
/** containerd waits 5 s for a delete. */
const deleteLimitMs = 4_000;
const sigkill = 9;

/** Where a command reads and writes. */
export interface CommandIo {
  readonly stdin: () => Promise<Uint8Array>;
  readonly write: (bytes: Uint8Array | string) => void;
  /** The bundle, unless told otherwise. */
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/**
 * One of the commands by which a containerd uses a shim's program: `start`, `delete`, `-info`, `-v`.
 * Errors: invalidArgument (no such command or flag, a bad name), unavailable (no host comes up), unknown.
 * Effects: `start` leaves a host that serves all tasks of that containerd, and ends when it has had none for a while.
 * Source: containerd docs/runtime-v2.md; pkg/shim/shim.go, run.
 */
export async function runShimCommand(words: readonly string[], io: CommandIo): Promise<void> {
  const given = parseShimArguments(words);
  if (given.version) return io.write(versionText());
  if (given.info) return io.write(await info(io));
  if (given.namespace === "") throw new FaultError("invalidArgument", "shim namespace cannot be empty");
  checkIdentifier(given.namespace);
  checkIdentifier(given.id);
  switch (given.action) {
    case "start":
      return io.write(await start(given, io));
    case "delete":
      return io.write(toBinary(DeleteResponseSchema, await remove(given, io)));
    default:
      throw new FaultError("invalidArgument", `unknown action "${given.action}"; there are start, delete and host`);
  }
}

function versionText(): string {
  return `${program}:\n  Version:  ${apiVersion}\n  Revision: ${revision}\n  Bun version: ${Bun.version}\n\n`;
}

async function info(io: CommandIo): Promise<Uint8Array> {
  const { createRuntimeInfo } = await import("../../core/tasks/index.ts");
  const stdin = await io.stdin();
  const options = stdin.length === 0 ? {} : { options: fromBinary(AnySchema, stdin) };
  const request = create(RuntimeRequestSchema, { runtimePath: "io.containerd.lighter.v2", ...options });
  const source = createRuntimeInfo({ path: io.env["PATH"] ?? "" });
  const answer = await source(createCtx(), anyOf(RuntimeRequestSchema, request));
  return toBinary(RuntimeInfoSchema, { ...anyTo(answer, RuntimeInfoSchema), name: "io.containerd.lighter.v2" });
}

/** Answers where the host is, in the newest form that the caller is known to read. */
async function start(given: ShimArguments, io: CommandIo): Promise<Uint8Array | string> {
  const bundle = io.cwd;
  const stdin = await io.stdin();
  const params = readParams(stdin, given);
  const cgroup = wantedCgroup(stdin, params);
  noteCgroup(bundle, cgroup);
  const place = hostPlace(bundle, given.address, cgroup);
  await using host = await reachHost(place, launchOptions(given, io, cgroup));
  const { socket } = await host.client(Host).open({ namespace: given.namespace });
  const address = `unix://${socket}`;
  // containerd 1.x finds the shim again by this file.
  writeFileSync(join(bundle, "address"), address, { mode: 0o600 });
  if (params === undefined) return address;
  const result = create(BootstrapResultSchema, { version: taskVersion, protocol: "ttrpc", address });
  return toBinary(BootstrapResultSchema, result);
}

/** Since containerd 2.3 the parameters come on the standard input; before, the runtime's options do, which may decode as such. */
function readParams(stdin: Uint8Array, { id, namespace }: ShimArguments): BootstrapParams | undefined {
  try {
    const params = fromBinary(BootstrapParamsSchema, stdin);
    return params.instanceId === id && params.namespace === namespace ? params : undefined;
  } catch {
    // Another message.
    return undefined;
  }
}

/** Ends and removes what is left of a task: mostly nothing. A host that died is replaced by one that adopts its tasks first. */
async function remove(given: ShimArguments, io: CommandIo): Promise<DeleteResponse> {
  const bundle = given.bundle === "" ? io.cwd : given.bundle;
  const cgroup = notedCgroup(bundle);
  const place = hostPlace(bundle, given.address, cgroup);
  const nothing = create(DeleteResponseSchema, { exitStatus: killedStatus, exitedAt: systemClock().toTimestamp() });
  const leftHost = await Bun.file(join(place.state, "host.lock")).exists();
  const running = await connectHost(place);
  if (running === undefined && !leftHost) return nothing;
  await using host = running ?? (await reachHost(place, launchOptions(given, io, cgroup)));
  const task = host.client(Task, { namespace: given.namespace, timeoutMs: deleteLimitMs });
  const { id } = given;
  try {
    await task.kill({ id, signal: sigkill, all: true }).catch(ignoreEnded);
    await task.wait({ id });
    return await task.delete({ id });
  } catch (error) {
    if (isFault(error, "notFound")) return nothing;
    throw error;
  }
}

/** A process that has ended can't be killed; one that is not there at all is found out by what follows. */
function ignoreEnded(error: unknown): void {
  if (!(error instanceof FaultError)) throw error;
}

function launchOptions({ debug }: ShimArguments, { env }: CommandIo, cgroup: string): LaunchOptions {
  return { debug, events: env["TTRPC_ADDRESS"] ?? "", cgroup };
}
