import { closeSync, constants, openSync } from "node:fs";
import fs from "node:fs/promises";
import path from "node:path";
import { Host } from "../../src/gen/lighter/shim/v1/host_pb.ts";
import { connectTtrpc } from "../../src/wire/ttrpc/index.ts";
import {
  type ContainerApi,
  connectApi,
  type Daemon,
  importBusybox,
  type RuntimeName,
  run,
  type StdioPaths,
  startInTerminal,
  startLighter,
  waitFor,
} from "../support/index.ts";
import { type Holdings, holdingsOf, ownMemory } from "./holdings.ts";

export interface LeakOptions {
  readonly runtime: RuntimeName;
  readonly count: number;
  readonly inFlight: number;
  /** After so many containers memory is measured for the first time, and what is held for comparison. */
  readonly warmUp: number;
  readonly report?: (text: string) => void;
}

export interface LeakResult {
  readonly before: Holdings;
  readonly after: Holdings;
  /** How much more of its own memory each process has, in bytes, at rest. */
  readonly grown: { readonly daemon: number; readonly host: number };
  /** How many more objects the daemon's heap has: a sharper measure, for memory comes in steps of the engine's. */
  readonly newObjects: number;
}

/** Long enough for both processes to notice that they rest, and to have given back what they do not need. */
const restMs = 11_000;

/** Runs containers with execs through one daemon and one host, and answers with what both held before and after. */
export async function seekLeaks(options: LeakOptions): Promise<LeakResult> {
  const dumps = await fs.mkdtemp("/tmp/lt-dump-");
  try {
    return await seek(options, dumps);
  } finally {
    await fs.rm(dumps, { recursive: true });
  }
}

async function seek(options: LeakOptions, dumps: string): Promise<LeakResult> {
  await using daemon = await startLighter({ runtime: options.runtime, logLevel: "info", env: { TMPDIR: dumps } });
  await importBusybox(daemon);
  await using api = await connectApi(daemon);
  const host = await hostPid(daemon);
  const look = async (): Promise<Look> => {
    await Bun.sleep(restMs);
    const memory = [await ownMemory(daemon.pid), await ownMemory(host)] as const;
    return { memory, holdings: await holdingsOf(daemon, host), objects: await objectsOf(daemon, dumps) };
  };
  await runContainers(daemon, api, 0, options.warmUp, options.inFlight);
  const before = await look();
  options.report?.(`after ${options.warmUp} containers: ${JSON.stringify(before)}`);
  await runContainers(daemon, api, options.warmUp, options.count, options.inFlight);
  const after = await look();
  options.report?.(`after ${options.count} containers: ${JSON.stringify(after)}`);
  if ((await hostPid(daemon)) !== host) throw new Error("another host came");
  const [ofDaemon, ofHost] = after.memory.map((bytes, n) => bytes - (before.memory[n] ?? 0));
  return {
    before: before.holdings,
    after: after.holdings,
    grown: { daemon: ofDaemon ?? Number.NaN, host: ofHost ?? Number.NaN },
    newObjects: after.objects - before.objects,
  };
}

interface Look {
  readonly memory: readonly [daemon: number, host: number];
  readonly holdings: Holdings;
  readonly objects: number;
}

/** How many objects the daemon's heap has, as it says itself when it is asked by a signal. */
async function objectsOf(daemon: Daemon, dumps: string): Promise<number> {
  const file = path.join(dumps, `lighterd.${daemon.pid}.dump.log`);
  process.kill(daemon.pid, "SIGUSR1");
  const count = await waitFor("the daemon's account of itself", async () => {
    return /^heap: (\d+) objects/m.exec(await fs.readFile(file, "utf8"))?.[1];
  });
  await fs.rm(file);
  return Number(count);
}

async function hostPid(daemon: Daemon): Promise<number> {
  await using connection = await connectTtrpc({ path: path.join(daemon.state, "shim/host.sock") });
  return (await connection.client(Host).info({})).pid;
}

async function runContainers(
  daemon: Daemon,
  api: ContainerApi,
  from: number,
  to: number,
  inFlight: number,
): Promise<void> {
  let next = from;
  const worker = async (): Promise<void> => {
    while (next < to) await live(daemon, api, next++);
  };
  await Promise.all(Array.from({ length: inFlight }, worker));
}

/** One container's whole life with two execs, of which one is ended by a signal; its stdio is of one kind after the other. */
async function live(daemon: Daemon, api: ContainerApi, index: number): Promise<void> {
  const id = `k${index}`;
  await using streams = await streamsOf(daemon, id, index % kinds.length);
  await api.create(id, ["sh", "-c", "echo hello; exec sleep 100"]);
  if (streams.terminal) await startInTerminal(api, id, streams.paths);
  else await api.start(id, streams.paths);
  expectCode(await api.exec(id, "e1", ["sh", "-c", "echo; exit 3"]), 3);
  await execAndKill(api, id);
  await api.tasks.get({ containerId: id });
  await api.tasks.listPids({ containerId: id });
  await api.tasks.metrics({ filters: [`id==${id}`] });
  if (index % 5 === 0) {
    await api.tasks.pause({ containerId: id });
    await api.tasks.resume({ containerId: id });
  }
  if (index % 7 === 0) await fails(() => api.tasks.create({ containerId: id }));
  if (index % 11 === 0) await fails(() => api.exec(id, "e1", ["/no/such/program"]));
  await api.tasks.kill({ containerId: id, signal: 9 });
  expectCode(await api.wait(id), 137);
  expectCode(await api.remove(id), 137);
}

async function execAndKill(api: ContainerApi, id: string): Promise<void> {
  const running = api.exec(id, "e2", ["sleep", "100"]);
  await waitFor("the exec to run", async () => {
    const { process } = await api.tasks.get({ containerId: id, execId: "e2" });
    return process !== undefined && process.pid > 0;
  });
  await api.tasks.kill({ containerId: id, execId: "e2", signal: 9 });
  expectCode(await running, 137);
}

const kinds = ["none", "fifo", "file", "binary", "terminal"] as const;

interface Streams extends AsyncDisposable {
  readonly terminal: boolean;
  readonly paths: StdioPaths;
}

/** Takes standard output and error to nowhere, and ends with them. */
const logger = "#!/bin/sh\necho >&5; exec 5>&-\ncat <&4 >/dev/null &\ncat <&3 >/dev/null\nwait\n";

/** A container's streams, and what this side holds of them. */
async function streamsOf(daemon: Daemon, id: string, kind: number): Promise<Streams> {
  const base = path.join(daemon.workspace.folder, id);
  const plain = (paths: StdioPaths): Streams => ({ terminal: false, paths, [Symbol.asyncDispose]: async () => {} });
  switch (kinds[kind]) {
    case "fifo":
      return await fifos({ stdin: `${base}.in`, stdout: `${base}.out`, stderr: `${base}.err` }, false);
    case "terminal":
      return await fifos({ stdin: `${base}.in`, stdout: `${base}.out` }, true);
    case "file":
      return plain({ stdout: `file://${base}.log`, stderr: `file://${base}.log` });
    case "binary":
      await fs.writeFile(`${base}.sh`, logger, { mode: 0o755 });
      return plain({ stdout: `binary://${base}.sh`, stderr: `binary://${base}.sh` });
    default:
      return plain({});
  }
}

async function fifos(paths: StdioPaths & { readonly stdin: string }, terminal: boolean): Promise<Streams> {
  const files = Object.values(paths);
  await run(["mkfifo", ...files]);
  const outputs = files.filter((file) => file !== paths.stdin);
  const fds = outputs.map((file) => openSync(file, constants.O_RDONLY | constants.O_NONBLOCK));
  return {
    terminal,
    paths,
    [Symbol.asyncDispose]: async () => {
      for (const fd of fds) closeSync(fd);
      for (const file of files) await fs.rm(file);
    },
  };
}

function expectCode(code: number, want: number): void {
  if (code !== want) throw new Error(`exit code ${code}, not ${want}`);
}

async function fails(call: () => Promise<unknown>): Promise<void> {
  const failed = await call().then(
    () => false,
    () => true,
  );
  if (!failed) throw new Error("a call that can't be done was done");
}
