/** What runs once a process has gone quiet. */
export interface IdleOptions {
  /** How often the process looks at itself. */
  readonly intervalMs: number;
  /** CPU time in one interval, in microseconds, up to which the process counts as idle. */
  readonly quietMicros: number;
  /** Runs once each time the process goes from busy to idle. */
  readonly action: () => void;
  /** CPU time used so far, in microseconds. */
  readonly cpuMicros?: () => number;
}

/**
 * Watches for the moment at which a process goes idle, by the CPU time that it used.
 * Effects: one timer, which keeps no process alive; ends with disposal.
 */
export function watchIdle(options: IdleOptions): Disposable {
  const cpuMicros = options.cpuMicros ?? processCpuMicros;
  let last = cpuMicros();
  let done = false;
  const look = (): void => {
    const used = cpuMicros() - last;
    last += used;
    if (used > options.quietMicros) {
      done = false;
    } else if (!done) {
      done = true;
      options.action();
      // What the action itself used is not the process being busy.
      last = cpuMicros();
    }
  };
  const timer = setInterval(look, options.intervalMs);
  timer.unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

function processCpuMicros(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}
