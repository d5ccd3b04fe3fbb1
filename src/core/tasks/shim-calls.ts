import { isFault, unavailable } from "../../lib/faults.ts";
import type { Shim, ShimConnection } from "../shims/index.ts";

type TaskClient = ShimConnection["task"];

/** How often a call moves on to the next life of a shim that keeps dying under it. */
export const livesMax = 3;

/**
 * Makes a call that changes nothing the second time, again on the shim's next life if the first dies under it.
 * Shape: `timeoutMs` is the call's own limit, for which it waits for a shim that is silent; 0 is none.
 */
export async function callRepeatable<T>(shim: Shim, call: (task: TaskClient) => Promise<T>, timeoutMs = 0): Promise<T> {
  for (let life = 1; ; life += 1) {
    const connection = await shim.connection();
    try {
      return await through(connection, call, timeoutMs);
    } catch (error) {
      if (life >= livesMax || !(await diedUnder(connection, error))) throw error;
    }
  }
}

/** Makes a call once. Errors: unavailable when the shim died under it, so that nobody knows whether it was done. */
export async function callOnce<T>(shim: Shim, verb: string, call: (task: TaskClient) => Promise<T>): Promise<T> {
  const connection = await shim.connection();
  try {
    return await through(connection, call);
  } catch (error) {
    if (!(await diedUnder(connection, error))) throw error;
    throw unavailable(`${verb}: the shim host went away during the call`, { cause: error });
  }
}

/** Makes a call on a connection, and sees to it that a shim that does not answer is noticed. */
export function through<T>(
  connection: ShimConnection,
  call: (task: TaskClient) => Promise<T>,
  timeoutMs = 0,
): Promise<T> {
  const made = (): Promise<T> => call(connection.task);
  return connection.watch === undefined ? made() : connection.watch.run(made, timeoutMs);
}

/** Whether a call failed because its connection went. */
export async function diedUnder(connection: ShimConnection, error: unknown): Promise<boolean> {
  if (!isFault(error, "unavailable")) return false;
  // Calls fail in the same turn of the loop in which the connection closes, before its promise settles.
  if (!connection.lost) await new Promise((resolve) => setImmediate(resolve));
  return connection.lost;
}
