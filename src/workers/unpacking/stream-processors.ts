import { closeSync, openSync, unlinkSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FaultError, fault } from "../../lib/faults.ts";
import type { StreamProcessor } from "../jobs.ts";

const usualPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/** As much is kept of what a program says on standard error. */
const stderrLimit = 4096;

/**
 * Sends a file through programs, each reading what the one before wrote.
 * Errors: notFound (no such program), unknown (one failed, with what it said).
 * Effects: they end with the reading.
 * Source: containerd core/diff/stream_unix.go, NewBinaryProcessor.
 */
export function processed(fd: number, processors: readonly StreamProcessor[]): AsyncGenerator<Uint8Array> {
  // Started at once: soon nothing but the target is to be seen any more.
  let input: number | ReadableStream<Uint8Array> = fd;
  const children = processors.map((processor) => {
    const child = start(processor, input);
    input = child.stdout as ReadableStream<Uint8Array>;
    return { path: processor.path, child, stderr: textOf(child.stderr as ReadableStream<Uint8Array>) };
  });
  return read(input as unknown as ReadableStream<Uint8Array>, children);
}

type Child = ReturnType<typeof start>;

async function* read(
  output: ReadableStream<Uint8Array>,
  children: readonly { readonly path: string; readonly child: Child; readonly stderr: Promise<string> }[],
): AsyncGenerator<Uint8Array> {
  try {
    yield* output;
    for (const { path, child, stderr } of children) {
      if ((await child.exited) === 0) continue;
      throw new FaultError(
        "unknown",
        `stream processor ${path}: ${(await stderr).trim() || `exit code ${child.exitCode}`}`,
      );
    }
  } finally {
    for (const { child } of children) child.kill("SIGKILL");
  }
}

function start({ path, args, env, payload }: StreamProcessor, stdin: number | ReadableStream<Uint8Array>) {
  const given = Object.fromEntries(env.map((pair) => [pair.split("=", 1)[0] ?? "", pair.slice(pair.indexOf("=") + 1)]));
  const program = Bun.which(path, { PATH: given["PATH"] ?? usualPath });
  if (program === null) throw fault("notFound", `stream processor ${path}`);
  const extra = payload === undefined ? [] : [payloadFile(Buffer.from(payload, "base64"))];
  try {
    return Bun.spawn([program, ...args], {
      stdio: [stdin, "pipe", "pipe", ...extra],
      env: { PATH: usualPath, ...given },
    });
  } finally {
    for (const fd of extra) closeSync(fd);
  }
}

/** A file without a name, from its beginning. */
function payloadFile(bytes: Uint8Array): number {
  const path = join(tmpdir(), `lighter-payload-${crypto.randomUUID()}`);
  const writing = openSync(path, "wx", 0o600);
  try {
    for (let at = 0; at < bytes.length; ) at += writeSync(writing, bytes, at);
    return openSync(path, "r");
  } finally {
    closeSync(writing);
    unlinkSync(path);
  }
}

async function textOf(stream: ReadableStream<Uint8Array>): Promise<string> {
  let text = "";
  for await (const bytes of stream) if (text.length < stderrLimit) text += Buffer.from(bytes).toString();
  return text.slice(0, stderrLimit);
}
