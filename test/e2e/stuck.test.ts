import { describe, expect } from "bun:test";
import fs from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { Tasks } from "../../src/gen/containerd/services/tasks/v1/tasks_pb.ts";
import { connectGrpc } from "../../src/wire/grpc/index.ts";
import { lighter, lighterOk } from "../cli/support.ts";
import { busyboxImage, type Daemon, findProcesses, sharedDaemon, waitFor } from "../support/index.ts";

interface Call {
  readonly method: string;
  readonly namespace: string;
  readonly ageSeconds: number;
  readonly step: string;
  readonly peer: string;
}

async function stuck(daemon: Daemon, ...flags: readonly string[]): Promise<readonly Call[]> {
  return JSON.parse(await lighterOk(daemon, ["debug", "stuck", "--json", ...flags])) as readonly Call[];
}

/** The shim host's process. */
async function hostOf(daemon: Daemon): Promise<number> {
  const hosts = (await findProcesses(daemon.workspace.token)).filter((line) => / host --socket /.test(line));
  expect(hosts).toHaveLength(1);
  return Number.parseInt(hosts[0] ?? "", 10);
}

describe("lighter debug", () => {
  const shared = sharedDaemon({ logLevel: "info" });

  shared.test(
    "stuck tells what a call waits for, by whom it was made, and so does the dump",
    async (daemon) => {
      await daemon.ctrOk(["run", "-d", "--null-io", ...daemon.runtimeFlags, busyboxImage, "c1", "sleep", "1000"]);
      await using connection = await connectGrpc({ path: daemon.address });
      const tasks = connection.client(Tasks, { namespace: daemon.namespace });
      const waiting = tasks.wait({ containerId: "c1" });
      const wait = await waitFor("the wait", async () => {
        return (await stuck(daemon, "--all")).find(({ method }) => method.endsWith("Tasks/Wait"));
      });
      expect(wait.step).toBe("waits for the end of c1");
      const host = await hostOf(daemon);
      process.kill(host, "SIGSTOP");
      let killing: Promise<unknown> | undefined;
      try {
        killing = tasks.kill({ containerId: "c1", signal: 9 });
        const call = await waitFor("a stuck call", async () => (await stuck(daemon)).at(0));
        expect(call).toMatchObject({
          method: "/containerd.services.tasks.v1.Tasks/Kill",
          namespace: daemon.namespace,
          step: "waits for the shim to kill c1",
          peer: expect.stringMatching(new RegExp(`^${process.pid} `)),
        });
        expect(call.ageSeconds).toBeGreaterThanOrEqual(1);
        const table = await lighterOk(daemon, ["debug", "stuck"]);
        expect(table).toMatch(/^ *AGE +CALL +NAMESPACE +FROM +STEP\n/);
        expect(table).toContain("waits for the shim to kill c1");
        process.kill(daemon.pid, "SIGUSR1");
        await waitFor("the dump", async () => (await daemon.logs()).includes("diagnostics written"), 30_000);
        const dump = await daemon.logs();
        await fs.rm(path.join(tmpdir(), `lighterd.${daemon.pid}.dump.log`));
        expect(dump).toContain("/containerd.services.tasks.v1.Tasks/Kill");
        expect(dump).toContain(`  ${daemon.namespace}/c1 pid `);
      } finally {
        process.kill(host, "SIGCONT");
      }
      await killing;
      expect(await waiting).toMatchObject({ exitStatus: 137 });
      await waitFor("nothing stuck", async () => (await stuck(daemon)).length === 0);
      expect(await lighterOk(daemon, ["debug", "stuck"])).toStartWith("no call is stuck");
      await daemon.ctrOk(["tasks", "rm", "c1"]);
      await daemon.ctrOk(["containers", "rm", "c1"]);
    },
    { needs: ["ours"] },
  );

  shared.test(
    "handles tells of descriptors, children and tasks",
    async (daemon) => {
      await daemon.ctrOk(["run", "-d", "--null-io", ...daemon.runtimeFlags, busyboxImage, "c2", "sleep", "1000"]);
      const handles = JSON.parse(await lighterOk(daemon, ["debug", "handles", "--json"])) as {
        readonly pid: number;
        readonly tasks: readonly { readonly id: string; readonly pid: number; readonly state: string }[];
        readonly descriptors: readonly { readonly target: string }[];
      };
      expect(handles.pid).toBe(daemon.pid);
      expect(handles.tasks).toEqual([expect.objectContaining({ id: "c2", pid: expect.any(Number), state: "running" })]);
      expect(handles.descriptors.map(({ target }) => target)).toContainEqual(
        expect.stringMatching(/meta\.db|\.sqlite|\.db/),
      );
      expect(await lighterOk(daemon, ["debug", "handles"])).toMatch(/c2 +\d+ +running/);
      await daemon.ctrOk(["tasks", "rm", "-f", "c2"]);
      await daemon.ctrOk(["containers", "rm", "c2"]);
    },
    { needs: ["ours"] },
  );

  shared.test(
    "heap and profile write files that tools read",
    async (daemon) => {
      const { folder } = daemon.workspace;
      const [heap, profile] = [path.join(folder, "a.heapsnapshot"), path.join(folder, "a.cpuprofile")];
      expect(await lighterOk(daemon, ["debug", "heap", heap])).toStartWith(`${heap} (`);
      expect(JSON.parse(await fs.readFile(heap, "utf8"))).toHaveProperty("snapshot");
      await lighterOk(daemon, ["debug", "profile", "-s", "1", profile]);
      expect(JSON.parse(await fs.readFile(profile, "utf8"))).toHaveProperty("nodes");
      expect(await lighter(daemon, ["debug", "profile", "-s", "601"])).toMatchObject({ code: 1 });
      expect((await fs.readdir(folder)).filter((name) => name.endsWith(".partial"))).toEqual([]);
    },
    { needs: ["ours"] },
  );
});
