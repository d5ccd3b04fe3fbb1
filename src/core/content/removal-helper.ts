import { messageOf } from "../../lib/faults.ts";
import type { Logger } from "../../lib/log.ts";
import { type FileRemover, openFileRemover } from "../../workers/index.ts";

/** After so many full rounds, some 130,000 files, a process of its own does the rest; callers feel it more than rounds (ADR 20). */
const ownRounds = 2048;

/** Takes the removal of many files off the daemon's loop and its pool. */
export class RemovalHelper implements AsyncDisposable {
  readonly #root: string;
  readonly #log: Logger;
  #rounds = 0;
  #remover: FileRemover | undefined;
  #hasFailed = false;

  constructor(root: string, log: Logger) {
    this.#root = root;
    this.#log = log;
  }

  /** Notes that there was as much to do as one round takes. */
  noteFullRound(): void {
    if (++this.#rounds > ownRounds && !this.#hasFailed) this.#remover ??= openFileRemover(this.#root);
  }

  /** Whether there is much to do. */
  get isThere(): boolean {
    return this.#remover !== undefined && !this.#hasFailed;
  }

  /** Answers which of the files are gone; none when the helper itself failed, which is told and not tried again. */
  async remove(paths: readonly string[]): Promise<readonly string[]> {
    if (this.#remover === undefined || paths.length === 0) return [];
    try {
      const failures = new Map(await this.#remover.remove(paths));
      for (const [at, error] of failures) {
        this.#log.warn("content: failed to remove a file", { path: paths[at], error });
      }
      return paths.filter((_, at) => !failures.has(at));
    } catch (error) {
      this.#hasFailed = true;
      this.#log.warn("content: files are removed one by one: a process of its own could not do it", {
        error: messageOf(error),
      });
      return [];
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#remover?.[Symbol.asyncDispose]();
  }
}
