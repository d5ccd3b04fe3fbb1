import { unavailable } from "../lib/faults.ts";
import type { RemovalFailures } from "./jobs.ts";
import { takeLines } from "./line-output.ts";
import { spawnWorker } from "./spawn-worker.ts";

/** A process that removes files, while everybody else goes first. */
export interface FileRemover extends AsyncDisposable {
  /**
   * Removes files by their paths in the remover's folder; one that is not there is fine. One call at a time.
   * Shape: answers what kept files from going, by their place among the paths.
   * Errors: what the process ended with; which files are gone is not known then.
   */
  remove(paths: readonly string[]): Promise<RemovalFailures>;
}

/** Starts a process that removes files below a folder. Effects: the process is there until disposed. */
export function openFileRemover(folder: string): FileRemover {
  const lines = new LineQueue();
  let answer: PromiseWithResolvers<RemovalFailures> | undefined;
  let failure: Error | undefined;
  const output = takeLines((line) => answer?.resolve(JSON.parse(line) as RemovalFailures));
  const end = (error: Error): void => {
    failure = error;
    answer?.reject(error);
  };
  const ended = spawnWorker("remove-files", { folder }, { lines: lines.all(), output, background: true }).then(
    () => end(unavailable("the process that removes files has ended")),
    end,
  );
  return {
    remove: async (paths) => {
      if (failure !== undefined) throw failure;
      answer = Promise.withResolvers<RemovalFailures>();
      lines.put(JSON.stringify(paths));
      try {
        return await answer.promise;
      } finally {
        answer = undefined;
      }
    },
    [Symbol.asyncDispose]: async () => {
      lines.end();
      await ended;
    },
  };
}

/** Lines on their way to a process; each is put when the one before was answered, so that there is never more than one. */
class LineQueue {
  #next = Promise.withResolvers<string | undefined>();

  put(line: string): void {
    this.#next.resolve(line);
  }

  end(): void {
    this.#next.resolve(undefined);
  }

  async *all(): AsyncGenerator<string> {
    for (let line = await this.#next.promise; line !== undefined; line = await this.#next.promise) {
      this.#next = Promise.withResolvers<string | undefined>();
      yield line;
    }
  }
}
