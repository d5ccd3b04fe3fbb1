import { Session } from "node:inspector";
import { failedPrecondition } from "../../lib/faults.ts";

let running = false;

/**
 * Where this program's time goes while something is awaited, as a .cpuprofile's JSON.
 * Errors: failedPrecondition (another one is being taken); those of what is awaited.
 */
export async function cpuProfile(during: () => Promise<void>): Promise<string> {
  if (running) throw failedPrecondition("a profile is being taken already");
  running = true;
  const session = new Session();
  session.connect();
  try {
    await post(session, "Profiler.enable");
    await post(session, "Profiler.start");
    // Also when nobody waits for it any more: the sampling must end.
    const ended = await during().then(
      () => undefined,
      (error: unknown) => ({ error }),
    );
    const stopped = await post(session, "Profiler.stop");
    if (ended !== undefined) throw ended.error;
    return JSON.stringify((stopped as { readonly profile: unknown }).profile);
  } finally {
    session.disconnect();
    running = false;
  }
}

function post(session: Session, method: string): Promise<unknown> {
  const { promise, resolve, reject } = Promise.withResolvers<unknown>();
  session.post(method, (error: Error | null, result?: object) => {
    if (error === null) resolve(result);
    else reject(error);
  });
  return promise;
}
