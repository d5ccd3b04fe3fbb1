import fs from "node:fs/promises";
import path from "node:path";
import { isErrno } from "../../sys/index.ts";
import type { ContainerName } from "../containers/index.ts";
import { formatHealthState, type HealthState, parseHealthState } from "./health-state.ts";

const suffix = ".json";

/**
 * The states of health, a file each, in the daemon's state folder: after a power cut there are no tasks for them to describe, so
 * that nothing is synced.
 * Effects: a file is there whole or not at all.
 */
export class StateFiles {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  async read(name: ContainerName): Promise<HealthState | undefined> {
    try {
      return parseHealthState(await fs.readFile(this.#pathOf(name), "utf8"));
    } catch (error) {
      if (isErrno(error, "ENOENT")) return undefined;
      throw error;
    }
  }

  /** Shape: one writer a container at a time. */
  async write(name: ContainerName, state: HealthState): Promise<void> {
    const file = this.#pathOf(name);
    const draft = `${file}.new`;
    const bytes = formatHealthState(state);
    try {
      await fs.writeFile(draft, bytes, { mode: 0o600 });
    } catch (error) {
      if (!isErrno(error, "ENOENT")) throw error;
      await fs.mkdir(path.dirname(file), { recursive: true, mode: 0o700 });
      await fs.writeFile(draft, bytes, { mode: 0o600 });
    }
    await fs.rename(draft, file);
  }

  async remove(name: ContainerName): Promise<void> {
    await fs.rm(this.#pathOf(name), { force: true });
  }

  /** Removes the files of containers that are no more, and what a death left half written. */
  async sweep(isThere: (name: ContainerName) => boolean): Promise<void> {
    for (const namespace of await entriesOf(this.#folder)) {
      for (const entry of await entriesOf(path.join(this.#folder, namespace))) {
        const isState = entry.endsWith(suffix) && isThere({ namespace, id: entry.slice(0, -suffix.length) });
        if (!isState) await fs.rm(path.join(this.#folder, namespace, entry), { force: true, recursive: true });
      }
    }
  }

  /** Shape: both parts were checked when the container was made: neither leads out of the folder. */
  #pathOf({ namespace, id }: ContainerName): string {
    return path.join(this.#folder, namespace, `${id}${suffix}`);
  }
}

async function entriesOf(folder: string): Promise<readonly string[]> {
  try {
    return await fs.readdir(folder);
  } catch (error) {
    if (isErrno(error, "ENOENT") || isErrno(error, "ENOTDIR")) return [];
    throw error;
  }
}
