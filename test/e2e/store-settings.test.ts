import { describe, expect } from "bun:test";
import { startLighter, testNeeding } from "../support/index.ts";

const needs = ["ours", "root", "lighterd", "ctr", "overlayfs", "runc"] as const;

const scheduler = (lines: string): string => `[plugins."io.containerd.gc.v1.scheduler"]\n${lines}\n`;
const overlayfs = (lines: string): string => `[plugins."io.containerd.snapshotter.v1.overlayfs"]\n${lines}\n`;

/** What a daemon with such a configuration tells of a plugin. */
async function told(config: string, id: string): Promise<string> {
  await using daemon = await startLighter({ config });
  const details = await daemon.ctrOk(["plugins", "ls", "-d", `id==${id}`]);
  return details.replaceAll(/[ \t]+/g, " ");
}

describe("the stores' settings", () => {
  testNeeding(needs, "the scheduler's are brought into their bounds, as containerd does", async () => {
    const low = 'pause_threshold = -0.5\nmutation_threshold = -3\nschedule_delay = "-1s"\nstartup_delay = "-1s"';
    const lowTold = await told(scheduler(low), "scheduler");
    for (const line of ["PauseThreshold 0", "MutationThreshold 0", "ScheduleDelay 0s"]) expect(lowTold).toContain(line);
    const high = 'pause_threshold = 0.9\ndeletion_threshold = 7\nmutation_threshold = 5\nschedule_delay = "1500ms"';
    const highTold = await told(scheduler(high), "scheduler");
    const lines = ["PauseThreshold 0.5", "DeletionThreshold 7", "MutationThreshold 5", "ScheduleDelay 1.5s"];
    for (const line of lines) expect(highTold).toContain(line);
  });

  testNeeding(needs, "overlayfs maps ids by the kernel alone, unless slow_chown allows the other way", async () => {
    const kernels = await told("", "overlayfs");
    expect(kernels).toContain("only-remap-ids");
    const slow = await told(overlayfs("slow_chown = true"), "overlayfs");
    expect(slow).not.toContain("only-remap-ids");
    expect(slow.includes("remap-ids")).toBe(kernels.replace("only-remap-ids", "").includes("remap-ids"));
  });
});
