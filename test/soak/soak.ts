import fs from "node:fs/promises";
import path from "node:path";
import { isFault, messageOf } from "../../src/lib/faults.ts";
import {
  type ContainerApi,
  connectApi,
  type Daemon,
  findProcesses,
  importBusybox,
  type RuntimeName,
  startLighter,
  waitFor,
} from "../support/index.ts";

export interface SoakOptions {
  readonly runtime: RuntimeName;
  readonly count: number;
  readonly inFlight: number;
  /** The daemon is killed after a random time between these two, again and again. */
  readonly killAfterMs: readonly [number, number];
  readonly report?: (text: string) => void;
}

export interface SoakResult {
  readonly kills: number;
  readonly seconds: number;
  /** Everything that went wrong; empty is good. */
  readonly troubles: readonly string[];
}

/** The client's side of the daemon: its connection, made anew whenever the daemon went away. */
class Line {
  #api: ContainerApi;
  #renewal: Promise<void> | undefined;

  constructor(api: ContainerApi) {
    this.#api = api;
  }

  get api(): ContainerApi {
    return this.#api;
  }

  /** Does a call until the daemon answers it. A call that may have been done before it was cut must bear a second time. */
  async persist<T>(call: (api: ContainerApi) => Promise<T>): Promise<T> {
    for (;;) {
      const api = this.#api;
      try {
        return await call(api);
      } catch (error) {
        if (!isFault(error, "unavailable")) throw error;
        if (api === this.#api) await (this.#renewal ??= this.#renew());
      }
    }
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

/** Runs short containers, kills the daemon at random meanwhile, and looks at what is left at the end. */
export async function soak(options: SoakOptions): Promise<SoakResult> {
  const started = performance.now();
  const troubles: string[] = [];
  await using daemon = await startLighter({ runtime: options.runtime, logLevel: "info" });
  await importBusybox(daemon);
  const before = await holdings(daemon);
  const line = new Line(await connectApi(daemon));
  await using killer = startKiller(daemon, options);
  let next = 0;
  let done = 0;
  const worker = async (): Promise<void> => {
    while (next < options.count) {
      const index = next++;
      try {
        await live(line, index);
      } catch (error) {
        troubles.push(`container s${index}: ${messageOf(error)}`);
      }
      if (++done % 50 === 0) options.report?.(`${done} of ${options.count}, daemon killed ${killer.kills()} times`);
    }
  };
  await Promise.all(Array.from({ length: options.inFlight }, worker));
  await killer.stop();
  troubles.push(...(await leftBehind(daemon, line, before)));
  await line.api[Symbol.asyncDispose]();
  return { kills: killer.kills(), seconds: (performance.now() - started) / 1000, troubles };
}

/** One container's whole life, with an exit code of its own. */
async function live(line: Line, index: number): Promise<void> {
  const id = `s${index}`;
  const want = index % 200;
  // Some end at once, some live through a kill or two.
  const script = `sleep 0.${index % 7}; exit ${want}`;
  await line.persist((api) => createOnce(api, id, ["sh", "-c", script]));
  await line.persist((api) => startOnce(api, id));
  const code = await line.persist((api) => api.wait(id));
  if (code !== want) throw new Error(`exit code ${code}, not ${want}`);
  await line.persist((api) => unlessGone(() => api.tasks.delete({ containerId: id })));
  await line.persist((api) => unlessGone(() => api.snapshots.remove({ snapshotter: "overlayfs", key: id })));
  await line.persist((api) => unlessGone(() => api.containers.delete({ id })));
}

/** Creates snapshot and record unless an earlier try, whose answer was lost, did; half of a pair is made anew. */
async function createOnce(api: ContainerApi, id: string, args: readonly string[]): Promise<void> {
  try {
    await api.create(id, args);
  } catch (error) {
    if (!isFault(error, "alreadyExists")) throw error;
    const { containers } = await api.containers.list({ filters: [`id==${id}`] });
    if (containers.length > 0) return;
    await unlessGone(() => api.snapshots.remove({ snapshotter: "overlayfs", key: id }));
    await api.create(id, args);
  }
}

/** A removal whose first try was answered to nobody finds nothing the second time. */
async function unlessGone(removal: () => Promise<unknown>): Promise<void> {
  try {
    await removal();
  } catch (error) {
    if (!isFault(error, "notFound")) throw error;
  }
}

/** Starts a task unless an earlier try, whose answer was lost, did. */
async function startOnce(api: ContainerApi, id: string): Promise<void> {
  try {
    await api.start(id);
  } catch (error) {
    if (!isFault(error, "alreadyExists") && !isFault(error, "failedPrecondition")) throw error;
    const { process } = await api.tasks.get({ containerId: id });
    if (process?.status === statusCreated) await api.tasks.start({ containerId: id });
  }
}

/** containerd.v1.types.Status.CREATED */
const statusCreated = 1;

interface Killer extends AsyncDisposable {
  kills(): number;
  stop(): Promise<void>;
}

function startKiller(daemon: Daemon, options: SoakOptions): Killer {
  const [least, most] = options.killAfterMs;
  const ending = Promise.withResolvers<void>();
  let kills = 0;
  let over = false;
  const loop = (async () => {
    while (!over) {
      await Promise.race([Bun.sleep(least + Math.random() * (most - least)), ending.promise]);
      if (over) return;
      await daemon.kill();
      kills += 1;
      await daemon.start();
    }
  })();
  const stop = async (): Promise<void> => {
    over = true;
    ending.resolve();
    await loop;
  };
  return { kills: () => kills, stop, [Symbol.asyncDispose]: stop };
}

/** What the daemon holds on disk and in descriptors. */
interface Holdings {
  readonly snapshots: number;
  readonly bundles: number;
}

async function holdings(daemon: Daemon): Promise<Holdings> {
  const snapshots = path.join(daemon.root, "io.containerd.snapshotter.v1.overlayfs/snapshots");
  const bundles = path.join(daemon.state, "io.containerd.runtime.v2.task", daemon.namespace);
  return { snapshots: await countIn(snapshots), bundles: await countIn(bundles) };
}

async function countIn(folder: string): Promise<number> {
  return (await fs.readdir(folder).catch(() => [])).length; // never made: nothing in it
}

/** Compares with before the first container; processes, mounts and cgroups are judged when the daemon is disposed. */
async function leftBehind(daemon: Daemon, line: Line, before: Holdings): Promise<readonly string[]> {
  const troubles: string[] = [];
  const { tasks } = await line.persist((api) => api.tasks.list({}));
  const { containers } = await line.persist((api) => api.containers.list({}));
  if (tasks.length > 0) troubles.push(`${tasks.length} tasks are left`);
  if (containers.length > 0) troubles.push(`${containers.length} records are left`);
  const settled = async (): Promise<boolean> => {
    const now = await holdings(daemon);
    return now.snapshots <= before.snapshots && now.bundles <= before.bundles;
  };
  await waitFor("folders to go", settled, 15_000).catch(async () => {
    troubles.push(`folders: ${JSON.stringify(await holdings(daemon))}, before: ${JSON.stringify(before)}`);
  });
  for (const process of await findProcesses(daemon.workspace.token)) {
    const pid = process.split(" ")[0] ?? "";
    const descriptors = await countIn(`/proc/${pid}/fd`);
    if (descriptors > mostDescriptors) troubles.push(`${descriptors} descriptors in ${process.slice(0, 80)}`);
  }
  return troubles;
}

/** More than an idle daemon or host with this client connected holds, and far less than a leak of one a container. */
const mostDescriptors = 60;
