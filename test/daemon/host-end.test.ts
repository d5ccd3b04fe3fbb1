import { describe, expect } from "bun:test";
import {
  busyboxImage,
  type Daemon,
  daemonNeeds,
  findProcesses,
  importBusybox,
  startLighter,
  testNeeding,
  waitFor,
} from "../support/index.ts";

describe("the shim host", () => {
  testNeeding(
    [...daemonNeeds(), "ours"],
    "stays behind a daemon for its containers, and ends with the last of them",
    async () => {
      await using daemon = await startLighter({ logLevel: "info" });
      await importBusybox(daemon);
      await daemon.ctrOk(["run", "-d", "--null-io", ...daemon.runtimeFlags, busyboxImage, "c1", "sleep", "100"]);
      const hosts = await hostsOf(daemon);
      expect(hosts).toHaveLength(1);
      await daemon.stop();
      await Bun.sleep(7_000); // longer than a host without work stays
      expect(await hostsOf(daemon)).toEqual(hosts);
      await daemon.start();
      await daemon.ctrOk(["tasks", "rm", "-f", "c1"]);
      await daemon.stop();
      await waitFor("the end of all processes", async () => (await findProcesses(daemon.workspace.token)).length === 0);
      await daemon.start();
      await daemon.ctrOk(["run", "--rm", "--null-io", ...daemon.runtimeFlags, busyboxImage, "c2", "true"]);
      await daemon.ctrOk(["containers", "rm", "c1"]);
    },
    60_000,
  );
});

async function hostsOf(daemon: Daemon): Promise<readonly string[]> {
  return (await findProcesses(daemon.workspace.token)).filter((line) => / host --socket /.test(line));
}
