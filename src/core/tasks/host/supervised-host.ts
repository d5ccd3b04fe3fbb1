import { Task as TaskApi } from "../../../gen/containerd/task/v3/shim_pb.ts";
import { Host } from "../../../gen/lighter/shim/v1/host_pb.ts";
import { FaultError, isFault, messageOf, unavailable } from "../../../lib/faults.ts";
import type { Logger } from "../../../lib/log.ts";
import type { TimeLimits } from "../../../plugin/index.ts";
import type { ClientConnection } from "../../../wire/service.ts";
import { adviceFor, CallWatch } from "./call-watch.ts";
import { type HostConnection, type HostLauncher, hostProtocol, type LaunchedHost, type SharedHost } from "./host.ts";

/** Pauses before each further try of one round; a caller waits for a round. */
const retryDelaysMs = [50, 200, 800];
/** A host that lived shorter than this died of itself: the next start waits, longer each time. */
const healthyLifeMs = 5_000;
const crashDelayMaxMs = 5_000;
/** From the start of the process to the first answer. */
const startLimitMs = 10_000;
/** A container's record follows its snapshot this soon: the host has been told. */
const expectedForMs = 4;

export interface SupervisedHostOptions {
  readonly launcher: HostLauncher;
  readonly timeouts: Pick<TimeLimits, "shimLoadMs">;
  readonly log: Logger;
  /** Whether a dead host has to be replaced though nobody calls: there are tasks, or may be. */
  readonly needed: () => boolean;
  /** Takes the events of each connection until it is gone. */
  readonly attach: (connection: HostConnection) => Promise<void>;
}

/** Starts the host when it is first needed and again whenever it dies; hands out the live connection. */
export class SupervisedHost implements SharedHost {
  readonly #options: SupervisedHostOptions;
  #current: LiveConnection | undefined;
  #starting: Promise<HostConnection> | undefined;
  #looking: Promise<HostConnection | undefined> | undefined;
  #pumping: Promise<void> = Promise.resolve();
  #closing = new AbortController();
  #shortLives = 0;
  #upSince = 0;

  constructor(options: SupervisedHostOptions) {
    this.#options = options;
  }

  get current(): HostConnection | undefined {
    return this.#current?.lost === false ? this.#current : undefined;
  }

  connection(): Promise<HostConnection> {
    if (this.#current !== undefined && !this.#current.lost) return Promise.resolve(this.#current);
    this.#starting ??= this.#round().finally(() => {
      this.#starting = undefined;
    });
    return this.#starting;
  }

  async existing(): Promise<HostConnection | undefined> {
    if (this.#current !== undefined && !this.#current.lost) return this.#current;
    if (this.#starting !== undefined) return this.#starting;
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  prepare(): void {
    this.connection().catch((error: unknown) => {
      if (this.#closing.signal.aborted) return;
      this.#options.log.warn("the shim host could not be started ahead of its first task", { error });
    });
  }

  expect(): void {
    this.#current?.expect();
  }

  clearAway(): void {
    if (this.#options.launcher.hasLeftovers?.() === true) this.prepare();
  }

  /** Lets go of the host, which lives on with its containers. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    await this.#starting?.catch(() => undefined);
    await this.#current?.[Symbol.asyncDispose]();
    await this.#pumping;
  }

  async #look(): Promise<HostConnection | undefined> {
    const raw = await this.#options.launcher.connect();
    return raw === undefined ? undefined : this.#adopt(raw);
  }

  /** What a look that is under way finds: two connections to one host would bring its events twice. */
  async #found(): Promise<HostConnection | undefined> {
    const found = await this.#looking?.catch(() => undefined); // Whoever looked hears why; here is tried again.
    return found?.lost === false ? found : undefined;
  }

  /** A few tries; the last one's failure is the caller's. */
  async #round(): Promise<HostConnection> {
    const found = await this.#found();
    if (found !== undefined) return found;
    if (this.#shortLives > 0) await this.#pause(Math.min(50 * 2 ** this.#shortLives, crashDelayMaxMs));
    for (let attempt = 0; ; attempt += 1) {
      this.#throwIfClosing();
      try {
        return await this.#establish();
      } catch (error) {
        this.#options.log.error("the shim host is not up", { attempt: attempt + 1, error });
        // Who is silent for so long is so for longer, and callers have waited enough.
        const delayMs = isFault(error, "deadlineExceeded") ? undefined : retryDelaysMs[attempt];
        if (delayMs === undefined) throw unavailable(`shim host: ${messageOf(error)}`, { cause: error });
        await this.#pause(delayMs);
      }
    }
  }

  async #establish(): Promise<HostConnection> {
    const running = await this.#options.launcher.connect();
    if (running !== undefined) return this.#adopt(running);
    const startedAt = performance.now();
    const child = await this.#options.launcher.launch();
    const connection = await this.#adopt(await this.#firstConnection(child));
    this.#options.log.info("started the shim host", {
      pid: connection.pid,
      ms: Math.round(performance.now() - startedAt),
    });
    return connection;
  }

  /** Waits for the new process to listen, or to end. */
  async #firstConnection(child: LaunchedHost): Promise<ClientConnection> {
    const ended = new AbortController();
    let end = "";
    void child.exited.then((reason) => {
      end = reason;
      ended.abort();
    });
    const deadline = performance.now() + startLimitMs;
    for (let waitMs = 1; ; waitMs = Math.min(waitMs * 2, 8)) {
      const connection = await this.#options.launcher.connect();
      if (connection !== undefined) return connection;
      if (ended.signal.aborted) throw unavailable(`it ended at its start with ${end}`);
      if (performance.now() > deadline) throw unavailable(`it did not listen within ${startLimitMs} ms`);
      await this.#pause(waitMs, ended.signal);
      this.#throwIfClosing();
    }
  }

  /** Makes a raw connection the current one, once its other end proved to be a host. */
  async #adopt(raw: ClientConnection): Promise<HostConnection> {
    const host = raw.client(Host);
    const timeoutMs = this.#options.timeouts.shimLoadMs;
    const info = await host.info({}, { timeoutMs }).catch(async (error: unknown) => {
      await raw[Symbol.asyncDispose]();
      throw isFault(error, "deadlineExceeded") ? this.#silent(timeoutMs) : error;
    });
    if (info.protocol !== hostProtocol) {
      await raw[Symbol.asyncDispose]();
      throw unavailable(
        `it speaks protocol ${info.protocol} where ${hostProtocol} is needed (version ${info.version})`,
      );
    }
    const connection = new LiveConnection(raw, info.instance, info.pid, this.#options.log);
    this.#current = connection;
    this.#upSince = performance.now();
    void connection.closed.then(() => this.#lost(connection));
    // Without its events a host is of no use: when they break off, the connection goes, and another is made.
    this.#pumping = this.#options.attach(connection).then(() => connection[Symbol.asyncDispose]());
    return connection;
  }

  /** Errors of a process that takes connections and says nothing. */
  #silent(limitMs: number): FaultError {
    const pid = this.#options.launcher.holder?.();
    const who = pid === undefined ? "a process" : `process ${pid}`;
    const advice = pid === undefined ? "" : `; ${adviceFor(pid)}`;
    return new FaultError("deadlineExceeded", `${who} has its socket and did not answer in ${limitMs} ms${advice}`);
  }

  #lost(connection: HostConnection): void {
    if (this.#current === connection) this.#current = undefined;
    if (this.#closing.signal.aborted) return;
    this.#shortLives = performance.now() - this.#upSince < healthyLifeMs ? this.#shortLives + 1 : 0;
    this.#options.log.warn("lost the shim host; its containers go on", { pid: connection.pid });
    if (this.#options.needed()) void this.#replace();
    else this.clearAway();
  }

  /** Brings a host back for tasks that nobody is calling about; gives up only when none is left. */
  async #replace(): Promise<void> {
    for (let delayMs = 500; !this.#closing.signal.aborted && this.#options.needed(); ) {
      try {
        await this.connection();
        return;
      } catch {
        // Each failed round was logged where it failed.
        await this.#pause(delayMs);
        delayMs = Math.min(delayMs * 2, crashDelayMaxMs);
      }
    }
  }

  #throwIfClosing(): void {
    if (this.#closing.signal.aborted) throw unavailable("shim host: the daemon is shutting down");
  }

  #pause(ms: number, other?: AbortSignal): Promise<void> {
    const signal = other === undefined ? this.#closing.signal : AbortSignal.any([this.#closing.signal, other]);
    return new Promise((resolve) => {
      if (signal.aborted) {
        resolve();
        return;
      }
      const done = (): void => {
        clearTimeout(timer);
        signal.removeEventListener("abort", done);
        resolve();
      };
      const timer = setTimeout(done, ms);
      signal.addEventListener("abort", done);
    });
  }
}

class LiveConnection implements HostConnection {
  readonly task: HostConnection["task"];
  readonly client: HostConnection["client"];
  readonly host: HostConnection["host"];
  readonly instance: string;
  readonly pid: number;
  readonly closed: Promise<void>;
  readonly watch: CallWatch;
  readonly #raw: ClientConnection;
  #lost = false;
  #isExpecting = false;
  #expectedAt = Number.NEGATIVE_INFINITY;

  constructor(raw: ClientConnection, instance: string, pid: number, log: Logger) {
    this.#raw = raw;
    this.watch = new CallWatch({ pid, log, ping: () => this.host.info({}) });
    this.task = raw.client(TaskApi);
    this.client = (desc, defaults) => raw.client(desc, defaults);
    this.host = raw.client(Host);
    this.instance = instance;
    this.pid = pid;
    this.closed = raw.closed.then(() => {
      this.#lost = true;
    });
  }

  get heldBack(): number {
    return this.watch.waiting;
  }

  get lost(): boolean {
    return this.#lost;
  }

  /** One call at a time: a host that does not answer is asked nothing more. */
  expect(): void {
    const now = performance.now();
    if (this.#isExpecting || this.#lost || now - this.#expectedAt < expectedForMs) return;
    this.#isExpecting = true;
    this.#expectedAt = now;
    void this.#tellExpectation();
  }

  async #tellExpectation(): Promise<void> {
    try {
      await this.host.expect({});
    } catch {
      // A host of an earlier version knows no such call, and none needs it.
    }
    this.#isExpecting = false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#lost = true;
    await this.#raw[Symbol.asyncDispose]();
  }
}
