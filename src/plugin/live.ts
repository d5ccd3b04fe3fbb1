import { wrapFault } from "../lib/faults.ts";

/** Puts new settings in force. It does not wait and cannot fail: whatever may was done while they were prepared. */
export type Commit = () => void;

/** Makes ready for new settings, of which only the live ones differ. Errors: why they cannot be; then nothing changes anywhere. */
export type Prepare<C> = (next: C) => Commit | Promise<Commit>;

/** What running plugins do about new settings. */
export class LivePlugins {
  readonly #prepares = new Map<string, Prepare<unknown>[]>();

  add(uri: string, prepare: Prepare<unknown>): void {
    this.#prepares.set(uri, [...(this.#prepares.get(uri) ?? []), prepare]);
  }

  remove(uri: string): void {
    this.#prepares.delete(uri);
  }

  /**
   * Prepares every plugin for its settings, by URI, and answers with what puts all of them in force.
   * Errors: the first plugin's that cannot, with its name before it.
   */
  async prepare(configs: ReadonlyMap<string, unknown>): Promise<Commit> {
    const commits: Commit[] = [];
    for (const [uri, prepares] of this.#prepares) {
      for (const prepare of prepares) commits.push(await named(uri, () => prepare(configs.get(uri))));
    }
    return () => {
      for (const commit of commits) commit();
    };
  }
}

async function named<T>(uri: string, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw wrapFault(uri, error);
  }
}
