import { abortFault } from "./ctx.ts";

/** Waits; the signal ends it early. Errors: what the signal says. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) throw abortFault(signal);
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  signal.addEventListener("abort", resolve as () => void, { once: true });
  await promise;
  clearTimeout(timer);
  signal.removeEventListener("abort", resolve as () => void);
  if (signal.aborted) throw abortFault(signal);
}
