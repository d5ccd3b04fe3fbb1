/** What a scenario's steps tell each other: values of one daemon's answers, by name. */
export class Variables {
  /** Unique to the daemon, the same in no other; answers show it as `<token>`. */
  readonly token: string;
  /** A folder with busybox, the same for both daemons. */
  readonly rootfs: string;
  readonly #values = new Map<string, unknown>();

  constructor(token: string, rootfs: string) {
    this.token = token;
    this.rootfs = rootfs;
  }

  set(name: string, value: unknown): void {
    this.#values.set(name, value);
  }

  /** Errors: when no step before kept it. */
  get<T>(name: string): T {
    if (!this.#values.has(name)) throw new Error(`no step kept ${name}`);
    return this.#values.get(name) as T;
  }
}
