/** The signals that people and supervisors send, by name. Source: signal(7), x86-64 and arm64. */
export const signalNumbers: Readonly<Record<string, number>> = {
  HUP: 1,
  INT: 2,
  QUIT: 3,
  ILL: 4,
  TRAP: 5,
  ABRT: 6,
  BUS: 7,
  FPE: 8,
  KILL: 9,
  USR1: 10,
  SEGV: 11,
  USR2: 12,
  PIPE: 13,
  ALRM: 14,
  TERM: 15,
  STKFLT: 16,
  CHLD: 17,
  CONT: 18,
  STOP: 19,
  TSTP: 20,
  TTIN: 21,
  TTOU: 22,
  URG: 23,
  XCPU: 24,
  XFSZ: 25,
  VTALRM: 26,
  PROF: 27,
  WINCH: 28,
  IO: 29,
  PWR: 30,
  SYS: 31,
};

/** A signal by number or name, with or without SIG, RTMIN+n and RTMAX-n too; undefined when there is none. */
export function signalNumber(text: string): number | undefined {
  if (/^[0-9]+$/.test(text)) {
    const number = Number(text);
    return number >= 1 && number <= 64 ? number : undefined;
  }
  const name = text.toUpperCase().replace(/^SIG/, "");
  const realTime = /^RTM(IN|AX)(?:([+-])([0-9]+))?$/.exec(name);
  if (realTime !== null) {
    const number = (realTime[1] === "IN" ? 34 : 64) + Number(`${realTime[2] ?? "+"}${realTime[3] ?? 0}`);
    return number >= 34 && number <= 64 ? number : undefined;
  }
  return Object.hasOwn(signalNumbers, name) ? signalNumbers[name] : undefined;
}

const forwarded = ["SIGINT", "SIGTERM", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2"] as const;

/** Catches the signals meant for a container; those that come before somebody listens are kept. */
export interface SignalCatcher extends Disposable {
  /** True when a signal that ends programs came before anybody listened. */
  readonly interrupted: boolean;
  listen(onSignal: (number: number) => void): void;
}

export function catchSignals(): SignalCatcher {
  const early: number[] = [];
  let listener: ((number: number) => void) | undefined;
  const handlers = forwarded.map((name) => {
    const number = signalNumbers[name.slice(3)] ?? 0;
    const handler = (): void => {
      if (listener === undefined) early.push(number);
      else listener(number);
    };
    process.on(name, handler);
    return [name, handler] as const;
  });
  return {
    get interrupted() {
      return early.some((number) => number <= 3 || number === 15);
    },
    listen: (onSignal) => {
      listener = onSignal;
      for (const number of early.splice(0)) onSignal(number);
    },
    [Symbol.dispose]: () => {
      for (const [name, handler] of handlers) process.off(name, handler);
    },
  };
}
