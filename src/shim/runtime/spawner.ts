import { Durations } from "../../lib/durations.ts";
import { messageOf, unavailable } from "../../lib/faults.ts";
import type { Fd } from "../../sys/index.ts";

/** What a child's standard streams are: descriptors as they are, or /dev/null. */
export type ChildStdio = readonly [Fd | "ignore", Fd | "ignore", Fd | "ignore"];

export interface SpawnOptions {
  readonly cwd?: string | undefined;
  /** Everything to /dev/null, but stderr captured, when left out. */
  readonly stdio?: ChildStdio | undefined;
  /** Bytes for stdin, in place of stdio's first. */
  readonly input?: Uint8Array | undefined;
  /** Captures stdout instead of stderr. */
  readonly wantStdout?: boolean | undefined;
  /** Variables beside those of every child. */
  readonly env?: Readonly<Record<string, string>> | undefined;
  /** Descriptors from 3 on. */
  readonly extraFds?: readonly Fd[] | undefined;
  /**
   * Asked right before the start: a file to run in the place of the program that argv names, which keeps that name;
   * undefined for the program itself, which is also run when the kernel does not take the file.
   */
  readonly program?: (() => string | undefined) | undefined;
}

export interface SpawnResult {
  /** As a shell counts it: 128 + signal when a signal ended the child. */
  readonly exitStatus: number;
  /** What was captured, at most 64 KiB of it. */
  readonly output: string;
}

/** Runs short-lived children, a bounded number at once. */
export interface Spawner {
  run(argv: readonly string[], options?: SpawnOptions): Promise<SpawnResult>;
  /** How many run or wait to run. */
  readonly inFlight: number;
  /** How long each took that ran, waiting included. */
  readonly times: Durations;
}

export interface SpawnerOptions {
  readonly limit: number;
  /** Runs what starts a child. */
  readonly around?: (<T>(start: () => T) => T) | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
}

const maxCapturedBytes = 64 << 10;
/** Waiting children; each waits for a call that a client made, so that more means a client gone wild. */
const maxWaiting = 8192;

/** Makes a spawner. Shape: NOTIFY_SOCKET changes what runtimes do and BUN_* what Bun does; no child sees them. */
export function createSpawner(options: SpawnerOptions): Spawner {
  const env: Record<string, string> = {};
  for (const [name, value] of Object.entries(options.env)) {
    if (value !== undefined && name !== "NOTIFY_SOCKET" && !name.startsWith("BUN_")) env[name] = value;
  }
  return new BoundedSpawner(options, env);
}

class BoundedSpawner implements Spawner {
  readonly #env: Record<string, string>;
  readonly #waiting: (() => void)[] = [];
  readonly #around: <T>(start: () => T) => T;
  readonly times: Durations = new Durations();
  #free: number;
  #inFlight = 0;

  constructor({ limit, around = (start) => start() }: SpawnerOptions, env: Record<string, string>) {
    this.#free = limit;
    this.#around = around;
    this.#env = env;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  async run(argv: readonly string[], options: SpawnOptions = {}): Promise<SpawnResult> {
    this.#inFlight++;
    const began = performance.now();
    try {
      await this.#enter();
      try {
        return await this.#spawn(argv, options);
      } finally {
        this.#leave();
      }
    } finally {
      this.#inFlight--;
      this.times.add((performance.now() - began) / 1000);
    }
  }

  #enter(): Promise<void> | undefined {
    if (this.#free > 0) {
      this.#free--;
      return undefined;
    }
    if (this.#waiting.length >= maxWaiting) throw unavailable(`${maxWaiting} children wait to be started`);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #leave(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free++;
    else next();
  }

  async #spawn(argv: readonly string[], options: SpawnOptions): Promise<SpawnResult> {
    const { stdio, input } = options;
    const capture = stdio === undefined ? (options.wantStdout === true ? "stdout" : "stderr") : undefined;
    const [name = "", ...args] = argv;
    const start = (program: string): Bun.Subprocess =>
      this.#around(() =>
        Bun.spawn([program, ...args], {
          argv0: name,
          ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
          env: options.env === undefined ? this.#env : { ...this.#env, ...options.env },
          stdio: [
            input ?? stdio?.[0] ?? "ignore",
            stdio?.[1] ?? (capture === "stdout" ? "pipe" : "ignore"),
            stdio?.[2] ?? (capture === "stderr" ? "pipe" : "ignore"),
            ...(options.extraFds ?? []),
          ],
        }),
      );
    const child = startAny([options.program?.(), name], start);
    const source = capture === "stdout" ? child.stdout : child.stderr;
    const output = source instanceof ReadableStream ? readText(source) : undefined;
    await child.exited;
    const signal = child.signalCode === null ? 0 : (signalNumbers[child.signalCode] ?? 0);
    return { exitStatus: signal === 0 ? (child.exitCode ?? 255) : 128 + signal, output: (await output) ?? "" };
  }
}

/** Starts the first of several programs that can be started. Errors: the last one's. */
function startAny(
  programs: readonly [string | undefined, string],
  start: (program: string) => Bun.Subprocess,
): Bun.Subprocess {
  const [preferred, own] = programs;
  if (preferred === undefined) return start(own);
  try {
    return start(preferred);
  } catch {
    // Some policies of the kernel forbid what is no file of an installed package.
    return start(own);
  }
}

const signalNumbers: Readonly<Record<string, number>> = {
  SIGABRT: 6,
  SIGKILL: 9,
  SIGSEGV: 11,
  SIGPIPE: 13,
  SIGTERM: 15,
};

async function readText(stream: ReadableStream<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const chunk of stream) {
      if (size < maxCapturedBytes) chunks.push(chunk);
      size += chunk.length;
    }
  } catch (error) {
    return `(output lost: ${messageOf(error)})`;
  }
  return Buffer.concat(chunks).subarray(0, maxCapturedBytes).toString();
}
