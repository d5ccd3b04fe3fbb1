import { writeSync } from "node:fs";
import type { Client } from "../client/client.ts";
import type { ExitRecord } from "../client/containers/tasks.ts";
import type { FifoSet } from "../client/stdio/fifo-set.ts";
import { type OutputPump, pumpOutput } from "../client/stdio/output-pump.ts";
import type { OutputSink } from "../client/stdio/output-tee.ts";
import { createFdWatcher, type Kernel } from "../sys/index.ts";
import { ClosedOutputError, writeAll } from "./output.ts";
import type { SignalCatcher } from "./signals.ts";
import type { OwnTerminal } from "./terminal.ts";

export interface SessionOptions {
  readonly client: Client;
  readonly kernel: Kernel;
  readonly id: string;
  readonly execId: string;
  readonly fifos: FifoSet;
  readonly interactive: boolean;
  /** This process's terminal when the container has one. */
  readonly terminal: OwnTerminal | undefined;
  /** Keeps what is shown. */
  readonly tee: OutputSink | undefined;
  readonly signals: SignalCatcher;
  readonly exit: Promise<ExitRecord>;
}

export type SessionEnd = ExitRecord | "detached";

/** How long output may stay silent after the process's end before its FIFO is given up: a child may hold it open for ever. */
const quietMs = 300;
const [SIGINT, SIGKILL, SIGPIPE] = [2, 9, 13];

/**
 * Connects this process's stdio to a started process until it ends.
 * Shape: answers how it ended, or "detached" after the detach keys (ctrl-p ctrl-q).
 * Effects: all output that came before the end is written before this settles; signals are passed on; an output that
 * nobody reads any more kills the process, as a broken pipe does in a shell, and shows as status 141.
 */
export async function runSession(options: SessionOptions): Promise<SessionEnd> {
  const { fifos, kernel, terminal } = options;
  const failed = Promise.withResolvers<never>();
  const detached = Promise.withResolvers<"detached">();
  // Only the race below reads it; when the process ends first nobody does.
  failed.promise.catch(() => {});
  using watcher = createFdWatcher({ kernel, onError: (error) => failed.reject(error as Error) });
  const pumps: OutputPump[] = [];
  using _pumps = { [Symbol.dispose]: () => pumps.forEach((pump) => pump[Symbol.dispose]()) };
  const pump = (from: number, to: number): void => {
    const write = (bytes: Uint8Array): void => {
      options.tee?.append(bytes, to === 1 ? "stdout" : "stderr");
      writeAll(to, bytes);
    };
    const started = pumpOutput(from, { kernel, watcher, write });
    started.done.catch((error: unknown) => failed.reject(error as Error));
    pumps.push(started);
  };
  pump(fifos.stdout, 1);
  if (fifos.stderr !== undefined) pump(fifos.stderr, 2);
  forwardSignals(options);
  followSize(options);
  if (options.interactive && fifos.stdin !== undefined) {
    void copyInput(options, fifos.stdin, () => detached.resolve("detached")).catch(() => {
      // Input that cannot be read is input that has ended.
    });
  }
  try {
    const end = await Promise.race([options.exit, detached.promise, failed.promise]);
    if (end !== "detached") await Promise.all(pumps.map((each) => each.drain(quietMs)));
    return end;
  } catch (error) {
    if (!(error instanceof ClosedOutputError)) throw error;
    await kill(options, SIGKILL);
    return { status: 128 + SIGPIPE, at: (await options.exit).at };
  } finally {
    terminal?.restore();
  }
}

async function kill(options: SessionOptions, signal: number): Promise<void> {
  await options.client.tasks.kill({ containerId: options.id, execId: options.execId, signal }).catch(() => {
    // It ended meanwhile, which the wait tells.
  });
}

/** Passes signals on. A first process ignores what it has no handler for: the third SIGINT in a row kills it. */
function forwardSignals(options: SessionOptions): void {
  let interrupts = 0;
  options.signals.listen((number) => {
    interrupts = number === SIGINT ? interrupts + 1 : 0;
    void kill(options, interrupts >= 3 ? SIGKILL : number);
    if (interrupts === 2) writeAll(2, "lighter: it does not react to SIGINT; press ctrl-c once more to kill it\n");
  });
}

function followSize({ client, id, execId, terminal }: SessionOptions): void {
  terminal?.onResize(({ width, height }) => {
    client.tasks.resizePty({ containerId: id, execId, width, height }).catch(() => {
      // Between start and end a resize may find no process; the next one will.
    });
  });
}

async function copyInput(options: SessionOptions, fd: number, onDetach: () => void): Promise<void> {
  const { client, id, execId, terminal } = options;
  const keyboard = terminal?.keys === true ? terminal : undefined;
  for await (const chunk of keyboard?.input(onDetach) ?? Bun.stdin.stream()) await writeSlowly(fd, chunk);
  if (keyboard !== undefined) return;
  options.fifos.closeStdin();
  await client.tasks.closeIO({ containerId: id, execId, stdin: true }).catch(() => {
    // It ended meanwhile.
  });
}

/** Writes to a non-blocking FIFO at its reader's pace. */
async function writeSlowly(fd: number, bytes: Uint8Array): Promise<void> {
  for (let rest = bytes; rest.length > 0; ) {
    try {
      rest = rest.subarray(writeSync(fd, rest));
    } catch (error) {
      if ((error as { code?: string }).code !== "EAGAIN") throw error;
      await Bun.sleep(2);
    }
  }
}
