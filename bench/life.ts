import { newId, perSecond, type Side } from "./sides.ts";

/** Containers a second through the API: create, start, wait for the end of `true`, delete, snapshot and record included. */
export function measureLife(side: Side, count: number, inFlight: number): Promise<number> {
  return perSecond(count, inFlight, async () => {
    const id = newId();
    await side.api.create(id, ["true"]);
    await side.api.start(id);
    const code = await side.api.wait(id);
    if (code !== 0) throw new Error(`container ${id} on ${side.name} ended with ${code}`);
    await side.api.remove(id);
  });
}

/** Execs a second in one running container: add, start, wait for the end of `true`, delete. */
export async function measureExec(side: Side, count: number, inFlight: number): Promise<number> {
  const id = newId();
  await side.api.create(id, ["sleep", "1000"]);
  await side.api.start(id);
  try {
    return await perSecond(count, inFlight, async (index) => {
      const code = await side.api.exec(id, `e${index}`, ["true"]);
      if (code !== 0) throw new Error(`exec on ${side.name} ended with ${code}`);
    });
  } finally {
    await endContainer(side, id);
  }
}

/** Kills a container and removes all of it. */
export async function endContainer(side: Side, id: string): Promise<void> {
  await side.api.tasks.kill({ containerId: id, signal: 9 });
  await side.api.wait(id);
  await side.api.remove(id);
}
