import { describe, expect } from "bun:test";
import { busyboxImage, type Daemon, type RuntimeName, sharedDaemon, waitFor } from "../support/index.ts";

const runtimes: readonly RuntimeName[] = ["runc", "crun"];

/** One line of `ctr events`: time, namespace, topic, the event as JSON. */
interface SeenEvent {
  readonly time: Date;
  readonly namespace: string;
  readonly topic: string;
  readonly event: Readonly<Record<string, unknown>>;
}

/** Follows the daemon's events; the first one is there once this returns. */
async function followEvents(
  daemon: Daemon,
  filters: readonly string[] = [],
): Promise<{ seen(): SeenEvent[] } & Disposable> {
  const child = Bun.spawn(["ctr", "-a", daemon.address, "events", ...filters], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "ignore",
  });
  let text = "";
  void (async () => {
    const decoder = new TextDecoder();
    for await (const chunk of child.stdout) text += decoder.decode(chunk, { stream: true });
  })();
  // A subscription starts when the server gets it, of which the client sees nothing: probe until an event comes.
  let probe = 0;
  await waitFor("the subscription", async () => {
    await daemon.ctr(["namespaces", "create", `${daemon.namespace}-probe${++probe}`]);
    await daemon.ctr(["namespaces", "rm", `${daemon.namespace}-probe${probe}`]);
    return text.includes("/namespaces/create");
  });
  return {
    seen: () =>
      text
        .split("\n")
        .slice(0, -1)
        .map(parseLine)
        .filter((event) => event.namespace === daemon.namespace),
    [Symbol.dispose]: () => child.kill("SIGKILL"),
  };
}

function parseLine(line: string): SeenEvent {
  const match = /^(\S+ \S+) \S+ \S+ (\S+) (\S+) (.*)$/.exec(line);
  if (match === null) throw new Error(`not an event: ${line}`);
  const [, time = "", namespace = "", topic = "", json = ""] = match;
  return { time: new Date(`${time.replace(" ", "T")}Z`), namespace, topic, event: JSON.parse(json) };
}

describe.each(runtimes)("ctr events on %s", (runtime) => {
  const shared = sharedDaemon({ runtime });

  shared.test("come in order for a whole life, with the exit code", async (daemon) => {
    using events = await followEvents(daemon);
    const id = shared.newId();
    await daemon.ctr(["run", "--rm", ...daemon.runtimeFlags, busyboxImage, id, "sh", "-c", "exit 9"]);
    await waitFor("the last event", () => events.seen().some((event) => event.topic === "/containers/delete"));
    const own = events.seen().filter((event) => event.event["id"] === id || event.event["container_id"] === id);
    const topics = own.map((event) => event.topic);
    expect(topics.filter((topic) => topic !== "/snapshot/prepare" && topic !== "/snapshot/remove")).toEqual([
      "/containers/create",
      "/tasks/create",
      "/tasks/start",
      "/tasks/exit",
      "/tasks/delete",
      "/containers/delete",
    ]);
    const exit = own.find((event) => event.topic === "/tasks/exit");
    expect(exit?.event).toMatchObject({ container_id: id, id, exit_status: 9 });
    expect(Math.abs((exit?.time.getTime() ?? 0) - Date.now())).toBeLessThan(60_000);
  });

  shared.test("show an exec added, started and ended before the init's own end", async (daemon) => {
    using events = await followEvents(daemon);
    const id = shared.newId();
    await daemon.ctrOk(["run", "-d", "--null-io", ...daemon.runtimeFlags, busyboxImage, id, "sleep", "100"]);
    await daemon.ctr(["tasks", "exec", "--exec-id", "one", id, "sh", "-c", "exit 2"]);
    await daemon.ctrOk(["tasks", "rm", "-f", id]);
    await daemon.ctrOk(["containers", "rm", id]);
    await waitFor("the last event", () => events.seen().some((event) => event.topic === "/containers/delete"));
    const own = events.seen().filter((event) => event.event["container_id"] === id);
    expect(own.map((event) => `${event.topic} ${textOf(event.event["exec_id"] ?? event.event["id"])}`.trim())).toEqual([
      "/tasks/create",
      "/tasks/start",
      "/tasks/exec-added one",
      "/tasks/exec-started one",
      "/tasks/exit one",
      `/tasks/exit ${id}`,
      "/tasks/delete",
    ]);
  });

  shared.test("show pause, resume and an update of labels", async (daemon) => {
    using events = await followEvents(daemon);
    const id = shared.newId();
    await daemon.ctrOk(["run", "-d", "--null-io", ...daemon.runtimeFlags, busyboxImage, id, "sleep", "100"]);
    await daemon.ctrOk(["tasks", "pause", id]);
    await daemon.ctrOk(["tasks", "resume", id]);
    await daemon.ctrOk(["containers", "label", id, "deck=upper"]);
    await daemon.ctrOk(["tasks", "rm", "-f", id]);
    await daemon.ctrOk(["containers", "rm", id]);
    await waitFor("the last event", () => events.seen().some((event) => event.topic === "/containers/delete"));
    const topics = events.seen().map((event) => event.topic);
    for (const topic of ["/tasks/paused", "/tasks/resumed", "/containers/update"]) expect(topics).toContain(topic);
  });

  shared.test("tell of a container that ran out of memory", async (daemon) => {
    using events = await followEvents(daemon);
    const id = shared.newId();
    const flags = ["--null-io", "--rm", "--memory-limit", "8388608", ...daemon.runtimeFlags];
    // tail keeps its whole input when it has no line break.
    await daemon.ctr(["run", ...flags, busyboxImage, id, "sh", "-c", "tail -c 64m /dev/zero"]);
    const seen = await waitFor("the event", () => events.seen().find((event) => event.topic === "/tasks/oom"));
    expect(seen.event).toMatchObject({ container_id: id });
  });

  shared.test("are filtered by topic", async (daemon) => {
    using events = await followEvents(daemon, ['topic=="/namespaces/create"', 'topic=="/containers/create"']);
    const id = shared.newId();
    await daemon.ctr(["run", "--rm", ...daemon.runtimeFlags, busyboxImage, id, "true"]);
    await waitFor("the event", () => events.seen().some((event) => event.topic === "/containers/create"));
    expect(new Set(events.seen().map((event) => event.topic))).toEqual(new Set(["/containers/create"]));
  });
});

function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}
