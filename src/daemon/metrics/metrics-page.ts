import type { Logger } from "../../lib/log.ts";
import type { CallCounts } from "./call-counts.ts";
import { ContainerFigures, type ContainerFiguresOptions } from "./container-figures.ts";
import { exposition, type Family } from "./exposition.ts";
import { hostFamilies } from "./host-figures.ts";
import { type FigureSources, OwnFigures } from "./own-figures.ts";

export interface MetricsPageOptions extends Omit<FigureSources, "missing"> {
  readonly calls: CallCounts | undefined;
  /** Undefined when figures of containers are switched off. */
  readonly containers: ContainerFiguresOptions["containers"] | undefined;
  readonly timeouts: ContainerFiguresOptions["timeouts"];
  readonly log: Logger;
}

/** A page of metrics, made anew for each who asks. */
export class MetricsPage implements Disposable {
  readonly #options: MetricsPageOptions;
  readonly #own: OwnFigures;
  readonly #containers: ContainerFigures | undefined;

  constructor(options: MetricsPageOptions) {
    const { tasks, containers, exchange, timeouts, log } = options;
    this.#options = options;
    this.#own = new OwnFigures({ ...options, missing: () => this.#containers?.failures ?? 0 });
    if (tasks === undefined || containers === undefined || exchange === undefined) return;
    this.#containers = new ContainerFigures({ tasks, containers, exchange, timeouts, log });
  }

  [Symbol.dispose](): void {
    this.#containers?.[Symbol.dispose]();
    this.#own[Symbol.dispose]();
  }

  /** The page, in pieces. Shape: what others have to tell is asked for first, all of it at once. */
  async *text(): AsyncGenerator<string, void, undefined> {
    using _scrape = this.#own.scrape();
    const { calls, tasks, log } = this.#options;
    const [host, containers] = await Promise.all([hostFamilies(tasks, log), this.#containers?.families() ?? []]);
    yield* this.#own.text();
    const families: Family[] = [...host, ...(calls?.families() ?? []), ...containers];
    yield* exposition(families);
  }

  /** Counts a page that was sent, by its status. */
  sent(code: number): void {
    this.#own.scraped(code);
  }
}
