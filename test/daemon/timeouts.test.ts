import { describe, expect } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Host } from "../../src/gen/lighter/shim/v1/host_pb.ts";
import { connectTtrpc } from "../../src/wire/ttrpc/index.ts";
import {
  busyboxImage,
  type Daemon,
  daemonNeeds,
  importBusybox,
  startLighter,
  testNeeding,
  waitFor,
} from "../support/index.ts";

const limit = (of: string): string => `[timeouts]\n"io.containerd.timeout.task.state" = "${of}"\n`;

async function statusWhileStopped(daemon: Daemon, host: number, forMs: number): Promise<string> {
  process.kill(host, "SIGSTOP");
  try {
    const listed = daemon.ctrOk(["tasks", "ls"]);
    if (forMs > 0) {
      await Bun.sleep(forMs);
      process.kill(host, "SIGCONT");
    }
    return /^c1\s+\d+\s+(\S+)/m.exec(await listed)?.[1] ?? "";
  } finally {
    process.kill(host, "SIGCONT");
  }
}

describe("[timeouts]", () => {
  testNeeding(
    [...daemonNeeds(), "ours"],
    "say how long a shim may take to tell a state, from the start, and from a SIGHUP on",
    async () => {
      await using daemon = await startLighter({ config: limit("1h") });
      await importBusybox(daemon);
      await daemon.ctrOk(["run", "-d", ...daemon.runtimeFlags, busyboxImage, "c1", "sleep", "1000"]);
      await using connection = await connectTtrpc({ path: join(daemon.state, "shim/host.sock") });
      const { pid } = await connection.client(Host).info({});
      // Longer than containerd's default, after which the state is unknown.
      expect(await statusWhileStopped(daemon, pid, 2_500)).toBe("RUNNING");
      await writeFile(join(daemon.workspace.folder, "config.toml"), `version = 3\n${limit("300ms")}`);
      process.kill(daemon.pid, "SIGHUP");
      const told =
        'msg="a setting has changed" key="timeouts.\\"io.containerd.timeout.task.state\\"" from=1h0m0s to=300ms';
      await waitFor("the change", async () => (await daemon.logs()).includes(told));
      expect(await statusWhileStopped(daemon, pid, 0)).toBe("UNKNOWN");
      await daemon.ctrOk(["tasks", "rm", "-f", "c1"]);
    },
    60_000,
  );
});
