import { endContainer } from "./life.ts";
import { daemonMegabytes } from "./memory.ts";
import { newId, type Side } from "./sides.ts";

/** What a daemon and its shims weigh, in MB of PSS. */
export interface Density {
  readonly idle: number;
  /** The same after a long rest. */
  readonly rested: number;
  readonly loaded: number;
  readonly processes: number;
}

const settleMs = 3_000;
const longRestMs = 40_000;

/** Weighs a daemon that has run one container, and again with `count` containers asleep. */
export async function measureDensity(side: Side, count: number): Promise<Density> {
  await Bun.sleep(settleMs); // memory that is given back after work is given back by then
  const idle = await daemonMegabytes(side.daemon);
  await Bun.sleep(longRestMs);
  const rested = await daemonMegabytes(side.daemon);
  const ids = Array.from({ length: count }, newId);
  for (const id of ids) {
    await side.api.create(id, ["sleep", "10000"]);
    await side.api.start(id);
  }
  await Bun.sleep(settleMs);
  const loaded = await daemonMegabytes(side.daemon);
  for (const id of ids) await endContainer(side, id);
  return { idle: idle.total, rested: rested.total, loaded: loaded.total, processes: loaded.processes };
}
