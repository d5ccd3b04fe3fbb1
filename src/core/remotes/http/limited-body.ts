import { FaultError } from "../../../lib/faults.ts";
import type { HttpAnswer } from "./http-client.ts";

/**
 * Reads a whole body that is not trusted to end.
 * Errors: resourceExhausted (larger than that), unavailable (the connection broke).
 */
export async function readLimited(answer: HttpAnswer, maxBytes: number, what: string): Promise<Uint8Array> {
  const tooLarge = (): FaultError =>
    new FaultError("resourceExhausted", `${what}: the answer is larger than the ${maxBytes} bytes that are taken`);
  if ((answer.bodyBytes ?? 0) > maxBytes) throw tooLarge();
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const bytes of answer.body()) {
    size += bytes.length;
    if (size > maxBytes) throw tooLarge();
    parts.push(bytes);
  }
  return Buffer.concat(parts);
}

/** As much of a body as there is room for; for texts of errors. */
export async function readBeginning(answer: HttpAnswer, maxBytes: number): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const bytes of answer.body()) {
      parts.push(bytes);
      size += bytes.length;
      if (size >= maxBytes) break;
    }
  } catch (error) {
    // The status is what matters; what was said of it is an extra.
    if (!(error instanceof FaultError)) throw error;
  }
  return Buffer.concat(parts).subarray(0, maxBytes);
}
