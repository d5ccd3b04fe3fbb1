import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { Ctx } from "../../lib/ctx.ts";
import { type Descriptor, descriptorJson } from "../../lib/descriptor.ts";
import { FaultError, messageOf } from "../../lib/faults.ts";
import { ociDescriptor } from "../oci/index.ts";
import type { ImageVerifier, Judgement, WayIn } from "./verifiers.ts";

export interface BindirOptions {
  /** The folder of the programs; all of them must accept an image. */
  readonly binDir: string;
  /** How many are run; negative for all. */
  readonly maxVerifiers: number;
  readonly timeoutMs: number;
  readonly ways: readonly WayIn[];
}

/** How much a program may say of its reason. */
const outputLimit = 32 * 1024;

/**
 * Makes the verifier that asks programs in a folder, in the order of their names: exit code 0 accepts, any other rejects,
 * with standard output as the reason.
 * Source: containerd pkg/imageverifier/bindir/bindir.go.
 */
export function createBindirVerifier(options: BindirOptions): ImageVerifier {
  return {
    judges: (way) => options.ways.includes(way),
    verify: (ctx, name, descriptor) => verify(ctx, options, name, descriptor),
  };
}

async function verify(ctx: Ctx, options: BindirOptions, name: string, descriptor: Descriptor): Promise<Judgement> {
  const { binDir, maxVerifiers } = options;
  const programs = await programsIn(binDir);
  if (programs === undefined) return { ok: true, reason: `image verifier directory ${binDir} does not exist` };
  if (programs.length === 0) return { ok: true, reason: `no image verifier binaries found in ${binDir}` };
  const asked = maxVerifiers < 0 ? programs : programs.slice(0, maxVerifiers);
  if (asked.length < programs.length) {
    ctx.log.warn("image verifiers are being skipped: there are more than configured", { binDir, maxVerifiers });
  }
  const reasons: string[] = [];
  for (const program of asked) {
    const started = performance.now();
    const { code, reason } = await run(ctx, options, program, name, descriptor).catch((error: unknown) => {
      const runtime = `${(performance.now() - started).toFixed(0)}ms`;
      throw new FaultError("unknown", `failed to call verifier ${program} (runtime ${runtime}): ${messageOf(error)}`);
    });
    if (code !== 0) return { ok: false, reason: `verifier ${program} rejected image (exit code ${code}): ${reason}` };
    reasons.push(`${program} => ${reason}`);
  }
  return { ok: true, reason: reasons.join(", ") };
}

async function programsIn(folder: string): Promise<string[] | undefined> {
  try {
    return (await readdir(folder)).toSorted((a, b) => (a < b ? -1 : 1));
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw new FaultError("unknown", `failed to list directory contents: ${messageOf(error)}`, { cause: error });
  }
}

async function run(
  ctx: Ctx,
  { binDir, timeoutMs }: BindirOptions,
  program: string,
  name: string,
  descriptor: Descriptor,
): Promise<{ readonly code: number; readonly reason: string }> {
  const signal = AbortSignal.any([ctx.signal, AbortSignal.timeout(timeoutMs)]);
  const command = [
    join(binDir, program),
    "-name",
    name,
    "-digest",
    descriptor.digest,
    "-stdin-media-type",
    ociDescriptor,
  ];
  const child = Bun.spawn(command, {
    stdin: Buffer.from(`${JSON.stringify(descriptorJson(descriptor))}\n`),
    stdout: "pipe",
    stderr: "pipe",
    env: { PATH: process.env["PATH"] ?? "/usr/sbin:/usr/bin:/sbin:/bin" },
    // Its children go with it: they would keep the pipes open.
    detached: true,
  });
  const end = (): void => killGroup(child.pid);
  signal.addEventListener("abort", end, { once: true });
  try {
    const outputs = Promise.all([textOf(child.stdout), textOf(child.stderr)]);
    const code = await child.exited;
    end();
    const [stdout, stderr] = await outputs;
    if (stderr !== "") ctx.log.debug("image verifier said", { verifier: program, stderr });
    if (child.signalCode !== null) throw new FaultError("unknown", `waiting on command to exit: ${child.signalCode}`);
    return { code, reason: stdout };
  } finally {
    signal.removeEventListener("abort", end);
  }
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // Nobody of it is left.
  }
}

/** What a program says, cut to the limit; all of it is read, so that it never waits. */
async function textOf(stream: ReadableStream<Uint8Array>): Promise<string> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const bytes of stream) {
    if (size < outputLimit) parts.push(bytes.subarray(0, outputLimit - size));
    size += bytes.length;
  }
  const text = Buffer.concat(parts).toString().trim();
  return size > outputLimit ? `${text}(stdout truncated)` : text;
}
