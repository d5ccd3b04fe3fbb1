import fs from "node:fs/promises";
import path from "node:path";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  TaskCreateSchema,
  TaskDeleteSchema,
  TaskExecAddedSchema,
  TaskExecStartedSchema,
  TaskExitSchema,
  TaskStartSchema,
} from "../../src/gen/containerd/events/task_pb.ts";
import { OptionsSchema } from "../../src/gen/containerd/runc/v1/oci_pb.ts";
import { Containers } from "../../src/gen/containerd/services/containers/v1/containers_pb.ts";
import { Events } from "../../src/gen/containerd/services/events/v1/events_pb.ts";
import { Tasks } from "../../src/gen/containerd/services/tasks/v1/tasks_pb.ts";
import { type Envelope, EnvelopeSchema } from "../../src/gen/containerd/types/event_pb.ts";
import { failpointVariable } from "../../src/lib/failpoints.ts";
import { isFault, messageOf } from "../../src/lib/faults.ts";
import { anyOf, anyOfJson, ociTypeUrls } from "../../src/wire/any.ts";
import { connectGrpc } from "../../src/wire/grpc/index.ts";
import type { ClientConnection, ServiceClient } from "../../src/wire/service.ts";
import { type Daemon, type RuntimeName, startLighter, waitFor, writeBusyboxRootfs } from "../support/index.ts";

/** A daemon that dies where it is told to, and the client who has to live with it. */
export class CrashingDaemon implements AsyncDisposable {
  readonly daemon: Daemon;
  readonly rootfs: string;
  deaths = 0;
  tasks!: ServiceClient<typeof Tasks>;
  containers!: ServiceClient<typeof Containers>;
  readonly #armed: string;
  readonly #binary: string;
  readonly #events = new Map<string, Envelope>();
  #connection: ClientConnection | undefined;
  #reading: Promise<void> = Promise.resolve();

  private constructor(daemon: Daemon, rootfs: string, armed: string, binary: string) {
    this.daemon = daemon;
    this.rootfs = rootfs;
    this.#armed = armed;
    this.#binary = binary;
  }

  static async start(runtime: RuntimeName, criu: boolean): Promise<CrashingDaemon> {
    const folder = await fs.mkdtemp("/tmp/lt-die-");
    const armed = path.join(folder, "step");
    const binary = await writeHeldRuntime(folder, runtime);
    const daemon = await startLighter({ runtime, criu, env: { [failpointVariable]: armed } });
    const rootfs = await writeBusyboxRootfs(path.join(daemon.workspace.folder, "busybox"));
    const crashing = new CrashingDaemon(daemon, rootfs, armed, binary);
    await crashing.#connect();
    return crashing;
  }

  /** The daemon dies when it next comes to that step. */
  async arm(step: string): Promise<void> {
    this.deaths = 0;
    await fs.writeFile(this.#armed, step);
  }

  get isArmed(): Promise<boolean> {
    return fs.exists(this.#armed);
  }

  /** From now on that command of the runtime waits at its beginning. */
  async hold(command: string): Promise<AsyncDisposable & { readonly held: () => Promise<unknown> }> {
    const folder = path.dirname(this.#binary);
    const file = (kind: string): string => path.join(folder, `${kind}.${command}`);
    await fs.writeFile(file("hold"), "");
    return {
      held: () => waitFor(`${command} to be held`, () => fs.exists(file("held"))),
      [Symbol.asyncDispose]: async () => {
        for (const kind of ["hold", "held"]) await fs.rm(file(kind), { force: true });
      },
    };
  }

  /** Takes the runtime away until disposed. */
  async hideRuntime(): Promise<AsyncDisposable> {
    await fs.rename(this.#binary, `${this.#binary}.away`);
    return { [Symbol.asyncDispose]: () => fs.rename(`${this.#binary}.away`, this.#binary) };
  }

  /** The daemon's next life, after a death of whatever kind. */
  async restart(): Promise<void> {
    this.deaths += 1;
    await this.daemon.kill();
    await this.#disconnect();
    await this.daemon.startUnattended();
    await this.#connect();
  }

  /** Makes a call, and once more if the daemon dies in it, as whoever runs it would. Answers what the second one said. */
  async persist<T>(call: () => Promise<T>): Promise<T | string> {
    try {
      return await call();
    } catch (error) {
      if (!isFault(error, "unavailable")) throw error;
    }
    await this.restart();
    return await call().catch((error: unknown) => messageOf(error));
  }

  /** A container that runs a shell script, in a cgroup of its own. */
  async container(id: string, script: string, process: object = {}): Promise<void> {
    const { namespace } = this.daemon;
    const spec = anyOfJson(ociTypeUrls.spec, specOf(script, `/${namespace}/${id}`, process));
    const options = anyOf(OptionsSchema, create(OptionsSchema, { binaryName: this.#binary }));
    await this.containers.create({ container: { id, runtime: { name: "io.containerd.runc.v2", options }, spec } });
  }

  create(id: string, tasks: Pick<ServiceClient<typeof Tasks>, "create"> = this.tasks, timeoutMs = 0): Promise<unknown> {
    const rootfs = [{ type: "bind", source: this.rootfs, options: ["rbind", "rw"] }];
    return tasks.create({ containerId: id, rootfs }, timeoutMs === 0 ? {} : { timeoutMs });
  }

  exec(id: string, execId: string, script: string): Promise<unknown> {
    const process = { user: { uid: 0, gid: 0 }, args: ["sh", "-c", script], env: ["PATH=/bin"], cwd: "/" };
    return this.tasks.exec({ containerId: id, execId, spec: anyOfJson(ociTypeUrls.process, process) });
  }

  /** The different events of a task, in the order in which they came first, up to its deletion. */
  async events(id: string, atLeast = 1): Promise<string[]> {
    const told = (): string[] => [...this.#events.values()].flatMap((event) => wordsOf(event, id));
    await waitFor("the deletion to be told", () => told().length >= atLeast && told().at(-1) === "delete");
    return told();
  }

  /** What is on the machine of a task that is gone. */
  async leftovers(id: string): Promise<string[]> {
    const { state, root, namespace } = this.daemon;
    const scratch = path.join(root, "io.containerd.runtime.v2.task");
    const runtimes = path.join(state, "shim/state/runtime");
    const folders = [
      path.join(state, "io.containerd.runtime.v2.task", namespace),
      path.join(scratch, namespace),
      path.join(state, "shim/state/tasks", namespace),
      ...(await namesIn(runtimes)).map((name) => path.join(runtimes, name, namespace)),
    ];
    const names = (await Promise.all(folders.map(namesIn))).flat();
    const found = [...names.filter((name) => name.includes(id)), ...(await namesIn(path.join(scratch, ".tmp")))];
    const mounts = await fs.readFile(`/proc/${this.daemon.pid}/mountinfo`, "utf8");
    if (mounts.includes(`${namespace}/${id}/rootfs`)) found.push("its root");
    return found;
  }

  /** Waits for nothing to be left, and says what is if that does not come. */
  async clean(id: string): Promise<string[]> {
    await waitFor("nothing to be left", async () => (await this.leftovers(id)).length === 0, 3_000).catch(() => {});
    return this.leftovers(id);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#disconnect();
    await this.daemon[Symbol.asyncDispose]();
    await fs.rm(path.dirname(this.#armed), { recursive: true, force: true });
  }

  async #connect(): Promise<void> {
    const defaults = { namespace: this.daemon.namespace };
    const connection = await waitFor("the daemon to answer", () => connectGrpc({ path: this.daemon.address }));
    this.#connection = connection;
    this.tasks = connection.client(Tasks, defaults);
    this.containers = connection.client(Containers, defaults);
    this.#reading = this.#read(connection);
    // Answered after the subscription, which went first.
    await this.tasks.list({});
  }

  async #read(connection: ClientConnection): Promise<void> {
    try {
      for await (const event of connection.client(Events).subscribe({ filters: [] })) {
        const key = Buffer.from(toBinary(EnvelopeSchema, event)).toString("base64");
        if (!this.#events.has(key)) this.#events.set(key, event);
      }
    } catch {
      // The connection ended: the daemon died, or the test is over.
    }
  }

  async #disconnect(): Promise<void> {
    await this.#connection?.[Symbol.asyncDispose]();
    await this.#reading;
  }
}

/** Empty where there is no such folder. */
const namesIn = (folder: string): Promise<string[]> => fs.readdir(folder).catch(() => []);

/** The runtime, behind a script that waits while a file tells it to. */
async function writeHeldRuntime(folder: string, runtime: RuntimeName): Promise<string> {
  const file = path.join(folder, runtime);
  const script = `#!/bin/sh
for word in "$@"; do case $word in create|exec|delete|update|checkpoint) command=$word; break;; esac; done
if [ -e "${folder}/hold.$command" ]; then
  : > "${folder}/held.$command"
  while [ -e "${folder}/hold.$command" ]; do sleep 0.02; done
fi
IFS=:
for at in $PATH; do
  if [ -x "$at/${runtime}" ] && [ "$at" != "${folder}" ]; then exec "$at/${runtime}" "$@"; fi
done
`;
  await fs.writeFile(file, script, { mode: 0o755 });
  return file;
}

function specOf(script: string, cgroupsPath: string, process: object): object {
  return {
    ociVersion: "1.0.2",
    process: { user: { uid: 0, gid: 0 }, args: ["sh", "-c", script], env: ["PATH=/bin"], cwd: "/", ...process },
    root: { path: "rootfs", readonly: false },
    mounts: [{ destination: "/proc", type: "proc", source: "proc" }],
    linux: { cgroupsPath, namespaces: ["pid", "ipc", "uts", "mount"].map((type) => ({ type })) },
  };
}

const told = {
  "/tasks/create": TaskCreateSchema,
  "/tasks/start": TaskStartSchema,
  "/tasks/exec-added": TaskExecAddedSchema,
  "/tasks/exec-started": TaskExecStartedSchema,
  "/tasks/exit": TaskExitSchema,
  "/tasks/delete": TaskDeleteSchema,
} as const;

/** An event of that task as a word; an exit has its code. */
function wordsOf({ topic, event }: Envelope, id: string): string[] {
  if (!Object.hasOwn(told, topic) || event === undefined) return [];
  const facts = fromBinary(told[topic as keyof typeof told], event.value);
  if (facts.containerId !== id) return [];
  const word = topic.slice("/tasks/".length);
  return topic === "/tasks/exit" && "exitStatus" in facts ? [`${word} ${facts.exitStatus}`] : [word];
}
