import { FaultError, messageOf } from "../../lib/faults.ts";

export interface BoundedRun {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly stdin: Uint8Array;
  /** The program is killed after this. */
  readonly limitMs: number;
}

export interface BoundedResult {
  /** Undefined when a signal ended it. */
  readonly code: number | undefined;
  /** In Go's words: `exit status 1`, `signal: SIGKILL`. */
  readonly ending: string;
  readonly stdout: Uint8Array;
  readonly stderr: string;
}

/** More than this no program may say on either stream. */
const outputMaxBytes = 1 << 20;

/** A process that the program left in the background may hold its output open: it is not waited for longer. */
const graceMs = 500;

/** Runs a program of somebody else's in a session of its own. Errors: unknown (it can't be started). */
export async function runBounded(command: readonly string[], run: BoundedRun): Promise<BoundedResult> {
  const child = spawn(command, run);
  const kill = (): void => child.kill("SIGKILL");
  const timer = setTimeout(kill, run.limitMs);
  const stdout = new Collector(child.stdout, kill);
  const stderr = new Collector(child.stderr, kill);
  try {
    await child.exited;
    await Promise.race([Promise.all([stdout.done, stderr.done]), Bun.sleep(graceMs)]);
  } finally {
    clearTimeout(timer);
    stdout.stop();
    stderr.stop();
  }
  const code = child.exitCode ?? undefined;
  const ending = child.signalCode === null ? `exit status ${child.exitCode}` : `signal: ${child.signalCode}`;
  return { code, ending, stdout: stdout.bytes(), stderr: Buffer.from(stderr.bytes()).toString() };
}

function spawn([program, ...args]: readonly string[], { cwd, env, stdin }: BoundedRun) {
  try {
    return Bun.spawn([program ?? "", ...args], {
      cwd,
      // BUN_* in the environment can make a program on this runtime run other code than its own.
      env: Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith("BUN_"))),
      stdio: [stdin, "pipe", "pipe"],
      detached: true,
    });
  } catch (error) {
    throw new FaultError("unknown", `fork/exec ${program}: ${messageOf(error)}`, { cause: error });
  }
}

/** Reads a stream to its end, a bounded part of it. */
class Collector {
  readonly done: Promise<void>;
  readonly #stopped = Promise.withResolvers<undefined>();
  readonly #chunks: Uint8Array[] = [];

  constructor(stream: ReadableStream<Uint8Array>, onTooMuch: () => void) {
    this.done = this.#read(stream[Symbol.asyncIterator](), onTooMuch);
  }

  bytes(): Uint8Array {
    return Buffer.concat(this.#chunks).subarray(0, outputMaxBytes);
  }

  stop(): void {
    this.#stopped.resolve(undefined);
  }

  async #read(chunks: AsyncIterator<Uint8Array>, onTooMuch: () => void): Promise<void> {
    let size = 0;
    try {
      while (size <= outputMaxBytes) {
        const next = await Promise.race([chunks.next(), this.#stopped.promise]);
        if (next === undefined || next.done === true) break;
        this.#chunks.push(next.value);
        size += next.value.length;
      }
      if (size > outputMaxBytes) onTooMuch();
      void chunks.return?.().catch(() => undefined);
    } catch {
      // A stream that breaks off has said what it had to say.
    }
  }
}
