import type { Ctx } from "../../lib/ctx.ts";
import type { Logger } from "../../lib/log.ts";
import type { Timers } from "../../lib/timers.ts";
import type { Places } from "./places.ts";
import type { Watched } from "./watched.ts";

export interface ErrandsOptions {
  readonly timers: Timers;
  /** Fires when the daemon ends: nothing is begun any more. */
  readonly closing: AbortSignal;
  readonly log: Logger;
  /** Has a container looked at (again). */
  readonly look: (watched: Watched) => void;
}

export interface Errand {
  readonly places: Places;
  readonly action: () => Promise<void>;
  /** Told why the action failed; not when the daemon ends. Never rejects. */
  readonly failed: (error: unknown) => Promise<void>;
}

/** What is done for containers and takes its time, or is put off; one thing at a time for each. */
export class Errands {
  readonly #options: ErrandsOptions;
  readonly #works = new Set<Promise<void>>();

  constructor(options: ErrandsOptions) {
    this.#options = options;
  }

  /** Settles when nothing is under way. */
  async idle(): Promise<void> {
    await Promise.allSettled(this.#works);
  }

  /** Begins something; the container is looked at afterwards, however it went. */
  begin(watched: Watched, ctx: Ctx, { places, action, failed }: Errand): void {
    watched.busy = true;
    const run = async (): Promise<void> => {
      try {
        using _place = await places.take(ctx.signal);
        await action();
      } catch (error) {
        if (!ctx.aborted) await failed(error);
      }
      watched.busy = false;
      this.#options.look(watched);
    };
    const work = run().finally(() => this.#works.delete(work));
    this.#works.add(work);
  }

  /** Has a container looked at after a while, in place of what was put off before. */
  later(watched: Watched, ms: number): void {
    this.forgetTimer(watched);
    if (this.#options.closing.aborted) return;
    watched.timer = this.#options.timers.after(ms, () => {
      watched.timer = undefined;
      this.#options.look(watched);
    });
  }

  forgetTimer(watched: Watched): void {
    watched.timer?.[Symbol.dispose]();
    watched.timer = undefined;
  }

  /** Says what is wrong once, until it changes: what is looked at again and again would fill the log. */
  complain(watched: Watched, complaint: string): void {
    if (watched.complaint === complaint) return;
    watched.complaint = complaint;
    const { namespace, id } = watched;
    this.#options.log.error(`container ${complaint}`, { namespace, id });
  }
}
