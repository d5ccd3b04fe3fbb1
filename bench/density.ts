import { endContainer } from "./life.ts";
import { daemonMegabytes } from "./memory.ts";
import { newId, type Side } from "./sides.ts";

/** What a daemon and its shims weigh, in MB of PSS. */
export interface Density {
  /** Some seconds after work. */
  readonly worked: number;
  /** At rest: garbage, and what only work needs, were given back. */
  readonly idle: number;
  readonly loaded: number;
  readonly processes: number;
}

const settleMs = 3_000;
const restMs = 20_000;

/** Weighs a daemon that has run containers, and again with `count` containers asleep. */
export async function measureDensity(side: Side, count: number): Promise<Density> {
  await Bun.sleep(settleMs);
  const worked = await daemonMegabytes(side.daemon);
  await Bun.sleep(restMs);
  const idle = await daemonMegabytes(side.daemon);
  const ids = Array.from({ length: count }, newId);
  for (const id of ids) {
    await side.api.create(id, ["sleep", "10000"]);
    await side.api.start(id);
  }
  await Bun.sleep(settleMs);
  const loaded = await daemonMegabytes(side.daemon);
  for (const id of ids) await endContainer(side, id);
  return { worked: worked.total, idle: idle.total, loaded: loaded.total, processes: loaded.processes };
}
