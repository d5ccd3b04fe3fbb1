import { describe, expect } from "bun:test";
import { Tasks } from "../../src/gen/containerd/services/tasks/v1/tasks_pb.ts";
import { failureText } from "../../src/lib/fault-testing.ts";
import { fault } from "../../src/lib/faults.ts";
import { connectGrpc } from "../../src/wire/grpc/index.ts";
import { lighterOk } from "../cli/support.ts";
import {
  busyboxImage,
  type Daemon,
  daemonNeeds,
  importBusybox,
  startContainerd,
  startLighter,
  testNeeding,
  waitFor,
} from "../support/index.ts";

/** containerd 1.6 may pass on its shim's word of the deadline, under no code: then it comes before the client has seen to it itself. */
const unnamedDeadline = "unknown: context deadline exceeded: unknown";
const deadline = "deadlineExceeded: context deadline exceeded";

/** What clients hear that wait for a container and for a process in it: of some who leave, of some with a deadline, of some who stay. */
async function waits(daemon: Daemon, whileTheyWait: () => Promise<void>): Promise<readonly string[]> {
  await importBusybox(daemon);
  await daemon.ctrOk(["run", "-d", "--null-io", ...daemon.runtimeFlags, busyboxImage, "c", "sleep", "1000"]);
  const exec = ["tasks", "exec", "--exec-id", "e", "--detach", "c", "sleep", "1000"];
  await daemon.ctrOk(exec);
  await using connection = await connectGrpc({ path: daemon.address });
  const tasks = connection.client(Tasks, { namespace: daemon.namespace });
  const processes = [{ containerId: "c" }, { containerId: "c", execId: "e" }];
  const told: string[] = [];

  const stay = processes.map((process) => tasks.wait(process));
  for (const process of processes) {
    const leaving = new AbortController();
    const left = Array.from({ length: 20 }, () => failureText(() => tasks.wait(process, { signal: leaving.signal })));
    // They have begun once a later call of the same connection is answered.
    await tasks.get(process);
    leaving.abort(fault("canceled", "left"));
    told.push(...new Set(await Promise.all(left)));
    told.push(await failureText(() => tasks.wait(process, { timeoutMs: 300 })));
  }
  await whileTheyWait();
  for (const process of processes.toReversed()) await tasks.kill({ ...process, signal: 9 });
  for (const { exitStatus } of await Promise.all(stay)) told.push(`exit ${exitStatus}`);
  // Who comes later is answered as well.
  told.push(`exit ${(await tasks.wait({ containerId: "c" })).exitStatus}`);
  await daemon.ctrOk(["tasks", "rm", "c"]);
  return told;
}

async function waitsUnderWay(daemon: Daemon): Promise<number> {
  const calls = JSON.parse(await lighterOk(daemon, ["debug", "stuck", "--all", "--json"])) as { method: string }[];
  return calls.filter(({ method }) => method.endsWith("Tasks/Wait")).length;
}

describe("a wait that is given up", () => {
  testNeeding(
    ["ours", "containerd", ...daemonNeeds()],
    "is answered as by containerd, disturbs no other, and is under way no more",
    async () => {
      const answers: (readonly string[])[] = [];
      {
        await using daemon = await startContainerd({});
        answers.push(await waits(daemon, async () => {}));
      }
      await using mine = await startLighter({});
      const whileTheyWait = (): Promise<unknown> =>
        waitFor("those who left to be forgotten", async () => (await waitsUnderWay(mine)) === 2);
      answers.push(await waits(mine, async () => void (await whileTheyWait())));
      const theirs = answers[0]?.map((text) => (text === unnamedDeadline ? deadline : text));
      expect(answers[1]).toEqual(theirs ?? []);
      expect(answers[1]).toEqual([
        "canceled: left: context canceled",
        deadline,
        "canceled: left: context canceled",
        deadline,
        "exit 137",
        "exit 137",
        "exit 137",
      ]);
    },
    120_000,
  );
});
