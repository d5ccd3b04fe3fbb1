import { renameSync, rmSync, statSync } from "node:fs";
import { open } from "node:fs/promises";
import { messageOf } from "../lib/faults.ts";
import { CommandError } from "./usage-error.ts";

/**
 * Writes a file that is there whole or not at all.
 * Errors: CommandError when it cannot be written.
 * Effects: the bytes go into FILE.partial first, which goes when this fails or is interrupted; a pipe or device is written
 * straight.
 */
export async function writeWholeFile(
  file: string,
  chunks: AsyncIterable<Uint8Array>,
  onWritten: (count: number) => void,
): Promise<void> {
  const found = statSync(file, { throwIfNoEntry: false });
  if (found?.isDirectory() === true) throw new CommandError(`write ${file}: it is a folder`);
  const direct = found !== undefined && !found.isFile();
  const path = direct ? file : `${file}.partial`;
  const forget = (): void => {
    if (!direct) rmSync(path, { force: true });
  };
  const interrupted = (): void => {
    forget();
    process.exit(130);
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, interrupted);
  try {
    await writeAllOf(path, chunks, onWritten);
    if (!direct) renameSync(path, file);
  } catch (error) {
    forget();
    throw error;
  } finally {
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.off(signal, interrupted);
  }
}

async function writeAllOf(
  path: string,
  chunks: AsyncIterable<Uint8Array>,
  onWritten: (count: number) => void,
): Promise<void> {
  const handle = await open(path, "w").catch((error: unknown) => {
    throw new CommandError(`write ${path.replace(/\.partial$/, "")}: ${messageOf(error)}`, { cause: error });
  });
  try {
    let count = 0;
    for await (const bytes of chunks) {
      await handle.writeFile(bytes);
      count += bytes.length;
      onWritten(count);
    }
  } finally {
    await handle.close();
  }
}
