import type { HostParts } from "./parts.ts";

export interface BrokenTask {
  readonly namespace: string;
  readonly id: string;
  readonly reason: string;
}

/** Takes up what an earlier host left on disk. */
export async function recoverTasks(parts: HostParts): Promise<{ broken: () => readonly BrokenTask[] }> {
  const broken: BrokenTask[] = [];
  for (const found of parts.states.load()) if ("reason" in found) broken.push(found);
  return { broken: () => broken };
}
