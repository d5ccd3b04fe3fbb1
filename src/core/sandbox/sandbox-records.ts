import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { type Any, AnySchema } from "@bufbuild/protobuf/wkt";
import { FaultError, messageOf, wrapFault } from "../../lib/faults.ts";
import { isErrno } from "../../sys/index.ts";

/** What has to be known of a sandbox to find its shim again. */
export interface RunningRecord {
  readonly runtime: string;
  readonly options: Any | undefined;
}

/** In the sandbox's bundle. */
const fileName = "sandbox.json";

interface Stored {
  readonly schema: 1;
  readonly runtime: string;
  readonly options?: { readonly typeUrl: string; readonly value: string };
}

/** Effects: there as a whole or not at all; not synced, since no sandbox outlives a power cut. */
export async function writeRecord(bundle: string, { runtime, options }: RunningRecord): Promise<void> {
  const stored: Stored = {
    schema: 1,
    runtime,
    ...(options === undefined
      ? {}
      : { options: { typeUrl: options.typeUrl, value: Buffer.from(options.value).toString("base64") } }),
  };
  const path = join(bundle, fileName);
  try {
    await writeFile(`${path}.new`, JSON.stringify(stored), { mode: 0o600 });
    await rename(`${path}.new`, path);
  } catch (error) {
    throw wrapFault(`write ${path}`, error);
  }
}

/** Undefined for a bundle that was left half made. Errors: dataLoss (it can't be understood). */
export async function readRecord(bundle: string): Promise<RunningRecord | undefined> {
  const path = join(bundle, fileName);
  try {
    const stored = JSON.parse(await readFile(path, "utf8")) as Partial<Stored> | null;
    if (stored?.schema !== 1 || typeof stored.runtime !== "string") throw new Error("of another schema");
    const { runtime, options } = stored;
    if (options === undefined) return { runtime, options };
    const value = new Uint8Array(Buffer.from(options.value, "base64"));
    return { runtime, options: create(AnySchema, { typeUrl: options.typeUrl, value }) };
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw new FaultError("dataLoss", `read ${path}: ${messageOf(error)}`, { cause: error });
  }
}
