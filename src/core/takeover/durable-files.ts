import { open } from "node:fs/promises";

/** Writes a file and waits for the disk. */
export async function writeDurably(path: string, text: string): Promise<void> {
  await using file = await open(path, "w", 0o600);
  await file.writeFile(text);
  await file.sync();
}

/** Waits until what a file or a folder holds is on the disk. */
export async function syncPath(path: string): Promise<void> {
  await using file = await open(path, "r");
  await file.sync();
}
