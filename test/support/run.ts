/** How a command ended and what it said. */
export interface RunResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly cwd?: string;
  /** Bytes for its stdin, which is empty without. */
  readonly input?: string | Uint8Array;
  /** After this long the command is killed and the call fails. */
  readonly timeoutMs?: number;
  /** Ends the command by SIGKILL: its answer tells so. */
  readonly signal?: AbortSignal;
}

const defaultTimeoutMs = 60_000;

/** Runs a command to its end, whatever its exit code. Errors: when it does not end in time. */
export async function run(command: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const child = Bun.spawn([...command], {
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    env: { ...process.env, ...options.env },
    stdin: options.input === undefined ? "ignore" : Buffer.from(options.input),
    stdout: "pipe",
    stderr: "pipe",
    ...(options.signal === undefined ? {} : { signal: options.signal, killSignal: "SIGKILL" }),
  });
  const timeoutMs = options.timeoutMs ?? defaultTimeoutMs;
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    child.kill("SIGKILL");
  }, timeoutMs);
  try {
    const [stdout, stderr, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    if (late) throw new Error(`${command.join(" ")}: no end after ${timeoutMs} ms\n${stdout}${stderr}`);
    return { code, stdout, stderr };
  } finally {
    clearTimeout(timer);
  }
}

/** Runs a command that must succeed and answers with its stdout. Errors: with all its output when it does not. */
export async function runOk(command: readonly string[], options: RunOptions = {}): Promise<string> {
  const result = await run(command, options);
  if (result.code !== 0) {
    throw new Error(`${command.join(" ")} ended with ${result.code}\n${result.stdout}${result.stderr}`);
  }
  return result.stdout;
}

/** A command that runs on a terminal of its own. */
export interface TerminalSession {
  /** Everything that the terminal showed so far. */
  output(): string;
  type(text: string): void;
  resize(columns: number, rows: number): void;
  /** Settles with the exit code when the command ends. */
  readonly exited: Promise<number>;
  kill(): void;
}

const lastBytesMs = 1_000;

/** Starts a command on a new terminal, 80 columns by 24 rows. */
export function runInTerminal(command: readonly string[], options: RunOptions = {}): TerminalSession {
  let shown = "";
  const decoder = new TextDecoder();
  const ended = Promise.withResolvers<void>();
  const child = Bun.spawn([...command], {
    env: { ...process.env, TERM: "xterm", NO_COLOR: "", ...options.env },
    terminal: {
      cols: 80,
      rows: 24,
      data: (_terminal, bytes) => {
        shown += decoder.decode(bytes, { stream: true });
      },
      exit: () => ended.resolve(),
    },
  });
  return {
    output: () => shown,
    type: (text) => void child.terminal?.write(text),
    resize: (columns, rows) => child.terminal?.resize(columns, rows),
    exited: child.exited.then(async (code) => {
      // Its last bytes may come after its end; one that left the terminal to another process has none.
      await Promise.race([ended.promise, Bun.sleep(lastBytesMs)]);
      child.terminal?.close();
      return code;
    }),
    kill: () => child.kill("SIGKILL"),
  };
}
