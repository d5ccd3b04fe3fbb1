import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import {
  TaskCreateSchema,
  TaskDeleteSchema,
  TaskExecStartedSchema,
  TaskExitSchema,
  TaskStartSchema,
} from "../../src/gen/containerd/events/task_pb.ts";
import { Status } from "../../src/gen/containerd/v1/types/task_pb.ts";
import type { Event } from "../../src/gen/lighter/shim/v1/host_pb.ts";
import { failpointVariable } from "../../src/lib/failpoints.ts";
import { isFault } from "../../src/lib/faults.ts";
import { type HostStep, hostSteps } from "../../src/shim/parts.ts";
import { anyOfJson, ociTypeUrls } from "../../src/wire/any.ts";
import { canRun, HostFixture, processSpec, runtimes } from "./support.ts";

/** Where runtimes differ; the rest is tested with one of them. */
const stepsOfRuntimes: readonly HostStep[] = [
  "create.mounted",
  "create.made",
  "start.reached",
  "start.opened",
  "start.released",
  "exec-start.made",
  "delete.forgotten",
];

describe.skipIf(!canRun).each([...runtimes])("a host that dies right after a step, on %s", (runtime) => {
  let folder = "";
  let armed = "";
  let h: HostFixture;
  let deaths = 0;
  beforeAll(async () => {
    folder = mkdtempSync("/tmp/lighter-failpoint-");
    armed = join(folder, "step");
    h = await HostFixture.start({ [failpointVariable]: armed });
  });
  afterAll(async () => {
    await h[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true });
  });

  /** Calls until a host answers; one that died in the call is followed by another, and `isDone` asks that one. */
  async function persist<T>(call: () => Promise<T>, isDone: () => Promise<T | undefined>): Promise<T> {
    try {
      return await call();
    } catch (error) {
      if (!isFault(error, "unavailable")) throw error;
      deaths++;
      await h.killHost();
      await h.startHost();
      return (await isDone()) ?? (await persist(call, isDone));
    }
  }
  const statusOf = async (id: string, execId = ""): Promise<Status | undefined> => {
    try {
      return (await h.tasks.state({ id, execId })).status;
    } catch (error) {
      if (isFault(error, "notFound")) return undefined;
      throw error;
    }
  };
  const exists = (id: string, execId = "") => statusOf(id, execId);
  const isStarted = async (id: string, execId = ""): Promise<true | undefined> =>
    (await statusOf(id, execId)) === Status.CREATED ? undefined : true;
  const isDeleted = async (id: string, execId = ""): Promise<true | undefined> =>
    (await statusOf(id, execId)) === undefined ? true : undefined;
  const waitFor = async (id: string, execId = ""): Promise<number> => {
    const wait = async () => (await h.tasks.wait({ id, execId })).exitStatus;
    return await persist(wait, async () => undefined);
  };

  /** A container's whole life, with an exec; each of both processes writes a line when it runs, in whatever order. */
  async function live(id: string): Promise<{ init: number; exec: number; ran: readonly string[] }> {
    const execId = "e";
    const file = join(h.rootfs, "tmp", id);
    const script = (name: string, code: number): string =>
      `echo ${name} >> /tmp/${id}; while [ ! -e /tmp/${id}.${name} ]; do sleep 0.01; done; exit ${code}`;
    const made = { id, ...h.bundle(id, { args: ["sh", "-c", script("init", 7)] }), options: h.options(runtime) };
    await persist<unknown>(
      () => h.tasks.create(made),
      () => exists(id),
    );
    await persist<unknown>(
      () => h.tasks.start({ id }),
      () => isStarted(id),
    );
    const spec = anyOfJson(ociTypeUrls.process, processSpec(["sh", "-c", script("exec", 6)]));
    await persist<unknown>(
      () => h.tasks.exec({ id, execId, spec }),
      () => exists(id, execId),
    );
    await persist<unknown>(
      () => h.tasks.start({ id, execId }),
      () => isStarted(id, execId),
    );
    writeFileSync(`${file}.exec`, "");
    const exec = await waitFor(id, execId);
    await persist<unknown>(
      () => h.tasks.delete({ id, execId }),
      () => isDeleted(id, execId),
    );
    writeFileSync(`${file}.init`, "");
    const init = await waitFor(id);
    await persist<unknown>(
      () => h.tasks.delete({ id }),
      () => isDeleted(id),
    );
    return { init, exec, ran: readFileSync(file, "utf8").trimEnd().split("\n").sort() };
  }

  /** What is left of a task in the runtime's folder, in cgroups, in the host's mounts and in its state. */
  function leftovers(id: string): string[] {
    const cgroups = ["", ...readdirSync("/sys/fs/cgroup")].map((name) => join("/sys/fs/cgroup", name, h.namespace, id));
    const mounts = readFileSync(`/proc/${h.pid}/mountinfo`, "utf8");
    const runtimeFolder = join(h.state, "runtime", runtime, h.namespace, id);
    const found = [...cgroups, runtimeFolder, join(h.state, "tasks", h.namespace, `${id}.jsonl`)].filter(existsSync);
    return mounts.includes(join(h.bundles, id, "rootfs")) ? [...found, "its root"] : found;
  }

  async function countsOf(id: string): Promise<Record<string, number>> {
    const mark = `${id}-mark`;
    await h.tasks.create({ id: mark, ...h.bundle(mark), options: h.options(runtime) });
    await h.tasks.delete({ id: mark });
    const events = await h.events((all) => idOf(all.at(-1)) === mark && all.at(-1)?.topic === "/tasks/delete");
    const mine = events.filter((event) => idOf(event) === id);
    return Object.fromEntries(
      Map.groupBy(mine, ({ topic }) => topic.slice(7))
        .entries()
        .map(([t, e]) => [t, e.length]),
    );
  }

  test.each(runtime === runtimes.at(-1) ? [...hostSteps] : [...stepsOfRuntimes])("%s", async (step) => {
    const id = step.replace(".", "-");
    deaths = 0;
    writeFileSync(armed, step);
    expect(await live(id)).toEqual({ init: 7, exec: 6, ran: ["exec", "init"] });
    expect({ deaths, armed: existsSync(armed) }).toEqual({ deaths: 1, armed: false });
    expect(leftovers(id)).toEqual([]);
    // A creation that was announced and undone is announced again.
    const creations = step === "create.announced" ? 2 : 1;
    const counts = await countsOf(id);
    delete counts["exec-added"];
    expect(counts).toEqual({ create: creations, start: 1, "exec-started": 1, exit: 2, delete: creations });
  });
});

const schemas = [
  ["/tasks/create", TaskCreateSchema],
  ["/tasks/start", TaskStartSchema],
  ["/tasks/exec-started", TaskExecStartedSchema],
  ["/tasks/exit", TaskExitSchema],
  ["/tasks/delete", TaskDeleteSchema],
] as const;

function idOf(event: Event | undefined): string | undefined {
  const schema = schemas.find(([topic]) => topic === event?.topic)?.[1];
  return schema === undefined || event?.event === undefined
    ? undefined
    : fromBinary(schema, event.event.value).containerId;
}
