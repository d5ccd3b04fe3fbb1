import fs from "node:fs/promises";
import path from "node:path";
import { messageOf } from "../../src/lib/faults.ts";
import { connectApi, importBusybox, type RuntimeName, startLighter } from "../support/index.ts";
import { type KillerOptions, type Span, startKiller } from "./killer.ts";
import { holdings, leftBehind } from "./leftovers.ts";
import { lifeOf, live } from "./life.ts";
import { Line } from "./line.ts";

export interface SoakOptions extends KillerOptions {
  readonly runtime: RuntimeName;
  readonly count: number;
  readonly inFlight: number;
  readonly report?: (text: string) => void;
}

export interface SoakResult {
  /** For people: who was killed how often. */
  readonly kills: string;
  readonly seconds: number;
  /** Execs that were being started when a host was killed, and whose exit code was reported as unknown. */
  readonly unknownExecs: number;
  /** Everything that went wrong; empty is good. */
  readonly troubles: readonly string[];
}

/** Runs short containers, kills the daemon, its host, or both at random meanwhile, and looks at what is left at the end. */
export async function soak(options: SoakOptions): Promise<SoakResult> {
  const started = performance.now();
  const troubles: string[] = [];
  await using daemon = await startLighter({ runtime: options.runtime, logLevel: "info" });
  await importBusybox(daemon);
  const fifos = path.join(daemon.workspace.folder, "fifos");
  await fs.mkdir(fifos);
  const before = await holdings(daemon);
  await using line = new Line(await connectApi(daemon));
  await using killer = startKiller(daemon, options);
  const kills = (): string => `the daemon killed ${killer.daemons} times, the host ${killer.hostDeaths.length} times`;
  let next = 0;
  let done = 0;
  let unknownExecs = 0;
  const worker = async (): Promise<void> => {
    while (next < options.count) {
      const life = lifeOf(next++);
      try {
        const unknown = await live(line, fifos, life);
        if (unknown === undefined) continue;
        if (!killer.hostDeaths.some((death) => overlap(death, unknown))) throw new Error("exec's exit code is unknown");
        unknownExecs += 1;
      } catch (error) {
        troubles.push(`container ${life.id}: ${messageOf(error)}`);
      } finally {
        done += 1;
        if (done % 50 === 0) options.report?.(`${done} of ${options.count}, ${kills()}, ${troubles.length} troubles`);
      }
    }
  };
  await Promise.all(Array.from({ length: options.inFlight }, worker));
  await killer.stop();
  troubles.push(...(await leftBehind(daemon, line, before)));
  if (troubles.length > 0 && process.env["LIGHTER_TEST_KEEP"] !== undefined) {
    await fs.cp(daemon.workspace.folder, `${daemon.workspace.folder}-kept`, { recursive: true, filter: isReadable });
  }
  return { kills: kills(), unknownExecs, seconds: (performance.now() - started) / 1000, troubles };
}

function overlap(one: Span, other: Span): boolean {
  return one.from <= other.to && other.from <= one.to;
}

/** Logs and states; no images, and nothing that a copy would wait for. */
async function isReadable(source: string): Promise<boolean> {
  const found = await fs.lstat(source).catch(() => undefined); // gone meanwhile
  return found !== undefined && (found.isDirectory() || found.isFile()) && !/\/(snapshots|blobs|rootfs)$/.test(source);
}
