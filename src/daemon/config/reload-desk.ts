import type { ConfigState } from "./config-changes.ts";
import type { Reloader } from "./reload.ts";

/** Where reloads are asked for, whether there is something to reload just now or not. */
export class ReloadDesk {
  #reloader: Reloader | undefined;
  #asked = false;
  #askedSinceMark = false;

  /** Somebody asked since `mark` was called. */
  get askedSinceMark(): boolean {
    return this.#askedSinceMark;
  }

  mark(): void {
    this.#askedSinceMark = false;
  }

  ask(): void {
    this.#askedSinceMark = true;
    if (this.#reloader === undefined) this.#asked = true;
    else this.#reloader.reload();
  }

  /** From now on this one answers, also who asked before. */
  open(reloader: Reloader): void {
    this.#reloader = reloader;
    if (this.#asked) reloader.reload();
    this.#asked = false;
  }

  /** From now on nothing can be reloaded. Waits for a reload that is under way; answers what is in force, undefined before the first `open`. */
  async close(): Promise<ConfigState | undefined> {
    const reloader = this.#reloader;
    this.#reloader = undefined;
    await reloader?.idle;
    return reloader?.now;
  }
}
