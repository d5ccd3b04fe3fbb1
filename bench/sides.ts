import fs from "node:fs";
import path from "node:path";
import {
  type ContainerApi,
  connectApi,
  type Daemon,
  importBusybox,
  type RuntimeName,
  startContainerd,
  startLighter,
} from "../test/support/index.ts";

export type SideName = "lighter" | "containerd";

/** One daemon under measurement, with a client connected to it. */
export interface Side extends AsyncDisposable {
  readonly name: SideName;
  readonly runtime: RuntimeName;
  readonly daemon: Daemon;
  readonly api: ContainerApi;
}

const starters = { lighter: startLighter, containerd: startContainerd };

/** What people install, beside what Debian installs: `npm run bench` builds it first. */
export const program: string = path.resolve(import.meta.dir, "../dist/lighterd");

/** The same, where it was built; else the daemon runs from its sources. */
export function programOption(): { readonly program?: string } {
  return fs.existsSync(program) ? { program } : {};
}

/** Starts a daemon on folders of its own, with the busybox image and quiet logs. */
export async function startSide(
  name: SideName,
  runtime: RuntimeName,
  env: Readonly<Record<string, string>> = {},
): Promise<Side> {
  const daemon = await starters[name]({ runtime, logLevel: "info", program, env });
  try {
    await importBusybox(daemon);
    const api = await connectApi(daemon);
    return {
      name,
      runtime,
      daemon,
      api,
      [Symbol.asyncDispose]: async () => {
        await api[Symbol.asyncDispose]();
        await daemon[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await daemon[Symbol.asyncDispose]();
    throw error;
  }
}

let lastId = 0;

/** A container's name, new at each call. */
export function newId(): string {
  return `b${++lastId}`;
}

/** Runs `count` pieces of work, `inFlight` at a time, and answers with how many ended a second. */
export async function perSecond(
  count: number,
  inFlight: number,
  work: (index: number) => Promise<void>,
): Promise<number> {
  let next = 0;
  const started = performance.now();
  const worker = async (): Promise<void> => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: inFlight }, worker));
  return (count * 1000) / (performance.now() - started);
}
