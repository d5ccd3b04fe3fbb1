import { describe, expect } from "bun:test";
import { writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { System } from "../../src/gen/lighter/system/v1/system_pb.ts";
import { type Daemon, startLighter, testNeeding, waitFor } from "../support/index.ts";
import { connectAgainAndAgain } from "../support/reconnecting.ts";

const launcher = resolve(import.meta.dir, "../../bin/lighterd");
const gc = (threshold: string): string =>
  `version = 3\n[debug]\nlevel = "debug"\n[plugins."io.containerd.gc.v1.scheduler"]\npause_threshold = ${threshold}\n`;

async function reload(daemon: Daemon, toml: string, until: string): Promise<void> {
  await writeFile(join(daemon.workspace.folder, "config.toml"), toml);
  const before = (await daemon.logs()).length;
  process.kill(daemon.pid, "SIGHUP");
  await waitFor(`"${until}" in the log`, async () => (await daemon.logs()).slice(before).includes(until), 30_000);
}

async function pauseThreshold(daemon: Daemon): Promise<string> {
  const shown = await daemon.ctrOk(["plugins", "ls", "-d", "id==scheduler"]);
  return /PauseThreshold\s+(\S+)/.exec(shown)?.[1] ?? "";
}

describe("settings that came into force by SIGHUP", () => {
  testNeeding(
    ["root", "ctr"],
    "hold when another program failed to take the daemon's place, and are what the next reload compares with",
    async () => {
      await using daemon = await startLighter({ logLevel: "configured" });
      const { folder } = daemon.workspace;
      await reload(daemon, gc("0.25"), "from=0.02 to=0.25");
      const failing = join(folder, "failing");
      await writeFile(join(folder, "late.toml"), 'version = 3\nrequired_plugins = ["io.containerd.server.v1.debug"]\n');
      await writeFile(failing, `#!/bin/sh\nexec "${launcher}" "$@" --config ${join(folder, "late.toml")}\n`, {
        mode: 0o755,
      });
      {
        await using client = connectAgainAndAgain(daemon.address);
        const { pid } = await client.client(System).upgradeState({});
        await client.client(System).upgrade({ path: failing });
        await waitFor(
          "the upgrade to fail",
          async () => {
            const state = await client.client(System).upgradeState({});
            return state.pid === pid && !state.underWay && state.failure.includes("io.containerd.server.v1.debug");
          },
          60_000,
        );
        expect(client.refusals).toEqual([]);
      }
      expect(await pauseThreshold(daemon)).toBe("0.25");
      await reload(daemon, gc("0.25"), "no setting has changed");
      await reload(daemon, gc("0.5"), "from=0.25 to=0.5");
      expect(await pauseThreshold(daemon)).toBe("0.5");
    },
    120_000,
  );
});
