import { open, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { isErrno } from "../../sys/index.ts";
import { type Bootstrap, formatBootstrap, parseBootstrap } from "./bootstrap.ts";

// Files of a bundle by which a later daemon finds its shim, in containerd's names.
// Source: containerd core/runtime/v2/binary.go, shim_load.go, shim_manager.go.
export const programFile = "shim-binary-path";
const sandboxFile = "sandbox";
const bootstrapFile = "bootstrap.json";
/** Written by shims themselves, before there was bootstrap.json. */
const addressFile = "address";

/** Other people write into bundles: more than this is not read. */
const fileMaxBytes = 64 << 10;

/** Whose bundle it is: started by a program, or joined to a sandbox's shim. */
export interface ShimOwner {
  /** The shim's program; undefined for one that runs in a sandbox's shim. */
  readonly program: string | undefined;
  readonly sandboxId: string;
}

/** The bundle's owner; undefined for a bundle of the shared host's. */
export async function readOwner(bundle: string): Promise<ShimOwner | undefined> {
  const program = await readSmall(join(bundle, programFile));
  if (program !== undefined && program.length > 0) return { program: program.toString(), sandboxId: "" };
  const sandbox = await readSmall(join(bundle, sandboxFile));
  return sandbox === undefined ? undefined : { program: undefined, sandboxId: sandbox.toString() };
}

/** Says whose the bundle is, before there is anything to lose. */
export async function writeOwner(bundle: string, { program, sandboxId }: ShimOwner): Promise<void> {
  if (program === undefined) await writeWhole(join(bundle, sandboxFile), sandboxId, 0o600);
  else await writeWhole(join(bundle, programFile), program, 0o600);
}

/** How the bundle's shim is reached; undefined when it never said. Errors: as parseBootstrap's. */
export async function readBootstrap(bundle: string): Promise<Bootstrap | undefined> {
  const kept = await readSmall(join(bundle, bootstrapFile));
  if (kept !== undefined) return parseBootstrap(kept);
  const address = await readSmall(join(bundle, addressFile));
  return address === undefined ? undefined : parseBootstrap(address);
}

export async function writeBootstrap(bundle: string, bootstrap: Bootstrap): Promise<void> {
  await writeWhole(join(bundle, bootstrapFile), formatBootstrap(bootstrap), 0o644);
}

/** By rename: it is there whole, or not at all. The folder is in memory, and goes with the power. */
export async function writeWhole(path: string, text: string, mode: number): Promise<void> {
  const half = `${path}.new`;
  await writeFile(half, text, { mode });
  await rename(half, path);
}

export async function readSmall(path: string): Promise<Buffer | undefined> {
  try {
    await using file = await open(path, "r");
    if (!(await file.stat()).isFile()) return undefined;
    const buffer = Buffer.alloc(fileMaxBytes);
    const { bytesRead } = await file.read(buffer, 0, fileMaxBytes, 0);
    return buffer.subarray(0, bytesRead);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}
