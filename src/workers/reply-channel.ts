import { createKernel, type Fd } from "../sys/index.ts";

const newline = 0x0a;

/**
 * What a worker answers, by a pipe of ours: a pipe that the runtime makes for a child's further descriptors is closed by nobody.
 * Effects: takes in what comes, and closes its end when the worker has closed the other one, which it does by ending.
 */
export class ReplyChannel {
  /** Settles when the worker's end is closed, and ours with it. */
  readonly ended: Promise<void>;
  #held: Buffer = Buffer.alloc(0);
  #failure: { readonly error: unknown } | undefined;
  #over = false;
  #wake: (() => void) | undefined;

  private constructor(own: Fd, close: () => void) {
    this.ended = this.#takeIn(own, close);
  }

  /** Starts a worker with a pipe's end to answer to. Errors: what `start` throws; neither end stays open then. */
  static startWith<C>(start: (theirs: Fd) => C): { readonly child: C; readonly replies: ReplyChannel } {
    const kernel = createKernel();
    const [own, theirs] = kernel.pipe();
    let child: C;
    try {
      kernel.setNonBlocking(own, true);
      child = start(theirs);
    } catch (error) {
      kernel.close(own);
      throw error;
    } finally {
      // Were it open here, the end of the worker would not be the end of what it says.
      kernel.close(theirs);
    }
    return { child, replies: new ReplyChannel(own, () => kernel.close(own)) };
  }

  /** The next answer, one caller at a time; empty when the worker has ended without one. */
  async next(): Promise<string> {
    for (;;) {
      const end = this.#held.indexOf(newline);
      if (end >= 0) {
        const line = this.#held.toString("utf8", 0, end);
        this.#held = this.#held.subarray(end + 1);
        return line;
      }
      if (this.#failure !== undefined) throw this.#failure.error;
      if (this.#over) return "";
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** The same, past what is told of how far the work is until then. */
  async answer(onOffset?: (offset: number) => void): Promise<string> {
    for (;;) {
      const line = await this.next();
      if (!line.startsWith('{"offset":')) return line;
      onOffset?.((JSON.parse(line) as { readonly offset: number }).offset);
    }
  }

  async #takeIn(own: Fd, close: () => void): Promise<void> {
    try {
      // Such a stream does not own the descriptor (workers.test.ts counts them).
      for await (const chunk of Bun.file(own).stream()) {
        this.#held = this.#held.length === 0 ? Buffer.from(chunk) : Buffer.concat([this.#held, chunk]);
        this.#wake?.();
      }
    } catch (error) {
      this.#failure = { error };
    } finally {
      close();
      this.#over = true;
      this.#wake?.();
    }
  }
}
