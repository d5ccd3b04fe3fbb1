import { FaultError } from "./faults.ts";

/** How something failed, as `kind: message`; "no failure" when it did not. For tests. */
export async function failureText(work: () => unknown): Promise<string> {
  try {
    await work();
    return "no failure";
  } catch (error) {
    if (error instanceof FaultError) return `${error.kind}: ${error.message}`;
    throw error;
  }
}
