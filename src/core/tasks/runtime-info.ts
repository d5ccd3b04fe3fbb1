import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Any, AnySchema } from "@bufbuild/protobuf/wkt";
import { OptionsSchema } from "../../gen/containerd/runc/v1/oci_pb.ts";
import {
  type RuntimeInfo,
  RuntimeInfoSchema,
  type RuntimeRequest,
  RuntimeRequestSchema,
} from "../../gen/containerd/types/introspection_pb.ts";
import type { Ctx } from "../../lib/ctx.ts";
import { FaultError, messageOf, notImplemented, quote } from "../../lib/faults.ts";
import { productVersion } from "../../lib/version.ts";
import { anyIs, anyOf, anyOfJson, anyTo, ociTypeUrls } from "../../wire/any.ts";
import { canonicalOptions } from "../runtime-options.ts";
import { findShim, isHostRuntime } from "./runtimes.ts";

export interface RuntimeInfoOptions {
  /** Where shims and OCI runtimes are looked for, as in PATH. */
  readonly path: string;
  /** The OCI runtime of containers that name none; crun where it is there, else runc, when left out. */
  readonly runtimeBinary?: (() => string | undefined) | undefined;
}

/** Tells what a runtime is and can do: what introspection asks of the task manager's plugin. */
export type RuntimeInfoSource = (ctx: Ctx, request: Any) => Promise<Any>;

/** More than this no program may say of itself, nor take longer for it. */
const [outputMaxBytes, answerLimitMs] = [4 << 20, 10_000];

/**
 * Answers containerd.types.RuntimeRequest with RuntimeInfo: the shared host's runtimes by asking the OCI runtime for its
 * features, others by their shim's `-info`.
 * Errors: notImplemented (another request), unknown with containerd's texts.
 * Source: containerd core/runtime/v2/task_manager.go, getRuntimeInfo; cmd/containerd-shim-runc-v2/manager, Info.
 */
export function createRuntimeInfo(options: RuntimeInfoOptions): RuntimeInfoSource {
  return async (ctx, request) => {
    if (!anyIs(request, RuntimeRequestSchema)) throw notImplemented(`unknown request type ${request.typeUrl}`);
    const { runtimePath, options: given } = anyTo(request, RuntimeRequestSchema);
    const info = isHostRuntime(runtimePath)
      ? await hostInfo(ctx, options, given)
      : await shimInfo(ctx, await findShim(runtimePath, options.path), given);
    return anyOf(RuntimeInfoSchema, info);
  };
}

async function hostInfo(ctx: Ctx, options: RuntimeInfoOptions, given: RuntimeRequest["options"]): Promise<RuntimeInfo> {
  const info = create(RuntimeInfoSchema, { name: "io.containerd.runc.v2", version: { version: productVersion } });
  const runc = canonicalOptions(given);
  if (runc !== undefined && (runc.typeUrl !== "" || runc.value.length > 0)) {
    if (!anyIs(runc, OptionsSchema)) {
      throw new FaultError("unknown", `failed to read runtime options: ${quote(runc.typeUrl)} is not runc's`);
    }
    info.options = runc;
  }
  const named = info.options === undefined ? "" : anyTo(info.options, OptionsSchema).binaryName;
  const search = { PATH: options.path };
  const preferred = options.runtimeBinary?.() ?? (Bun.which("crun", search) === null ? "runc" : "crun");
  const binary = named === "" ? preferred : named;
  const found = Bun.which(binary, search);
  if (found === null) {
    const why = `exec: ${quote(binary)}: executable file not found in $PATH`;
    throw new FaultError("unknown", `failed to look up the path of ${quote(binary)}: ${why}`);
  }
  const features = await featuresOf(ctx, found);
  if (features !== undefined) info.features = anyOfJson(ociTypeUrls.features, features);
  return info;
}

/** Undefined for a runtime that doesn't tell, as older ones. */
async function featuresOf(ctx: Ctx, binary: string): Promise<unknown> {
  try {
    return JSON.parse(Buffer.from(await run(ctx, [binary, "features"], new Uint8Array())).toString());
  } catch (error) {
    ctx.log.debug("the OCI runtime does not tell its features", { binary, error: messageOf(error) });
    return undefined;
  }
}

async function shimInfo(ctx: Ctx, shim: string, given: RuntimeRequest["options"]): Promise<RuntimeInfo> {
  const stdin = given === undefined ? new Uint8Array() : toBinary(AnySchema, given);
  const stdout = await run(ctx, [shim, "-info"], stdin);
  try {
    return fromBinary(RuntimeInfoSchema, stdout);
  } catch (error) {
    const what = `failed to unmarshal stdout from [${shim} -info] into *types.RuntimeInfo`;
    throw new FaultError("unknown", `${what}: ${messageOf(error)}`, { cause: error });
  }
}

/** Errors: unknown, as containerd tells of a program that failed. Effects: the program is killed with the call. */
async function run(ctx: Ctx, command: readonly [string, string], stdin: Uint8Array): Promise<Uint8Array> {
  const child = Bun.spawn([...command], {
    cwd: "/",
    stdio: [stdin, "pipe", "pipe"],
    maxBuffer: outputMaxBytes,
    timeout: answerLimitMs,
    killSignal: "SIGKILL",
    signal: ctx.signal,
  });
  const [stdout, stderr] = await Promise.all([child.stdout.bytes(), child.stderr.text(), child.exited]);
  if (child.exitCode === 0) return stdout;
  const ending = child.signalCode === null ? `exit status ${child.exitCode}` : `signal: ${child.signalCode}`;
  throw new FaultError("unknown", `failed to run [${command.join(" ")}]: ${ending} (stderr: ${quote(stderr)})`);
}
