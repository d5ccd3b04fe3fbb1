import { isFault } from "../../src/lib/faults.ts";
import { type ContainerApi, waitFor } from "../support/index.ts";

/** Whether it was the shim host alone that went: then the connection stays, and with it what others ask for on it. */
async function answers(api: ContainerApi): Promise<boolean> {
  try {
    await api.containers.list({});
    return true;
  } catch {
    return false; // the daemon went
  }
}

/** The client's side of a daemon: its connection, made anew whenever the daemon went away. */
export class Line implements AsyncDisposable {
  #api: ContainerApi;
  #renewal: Promise<void> | undefined;

  constructor(api: ContainerApi) {
    this.#api = api;
  }

  /** Does a call until the daemon answers it. A call that may have been done before it was cut must bear a second time. */
  async persist<T>(call: (api: ContainerApi) => Promise<T>): Promise<T> {
    for (;;) {
      const api = this.#api;
      try {
        return await call(api);
      } catch (error) {
        if (!isFault(error, "unavailable")) throw error;
        if (api === this.#api && !(await answers(api))) await (this.#renewal ??= this.#renew());
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#api[Symbol.asyncDispose]();
  }

  async #renew(): Promise<void> {
    const old = this.#api;
    this.#api = await waitFor(
      "the daemon to come back",
      async () => {
        const api = await old.reconnect();
        await api.tasks.list({});
        return api;
      },
      60_000,
    );
    this.#renewal = undefined;
    await old[Symbol.asyncDispose]();
  }
}
