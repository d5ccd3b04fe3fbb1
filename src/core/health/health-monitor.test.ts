import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { create } from "@bufbuild/protobuf";
import { ContainerSchema } from "../../gen/containerd/services/containers/v1/containers_pb.ts";
import { Status } from "../../gen/containerd/v1/types/task_pb.ts";
import { unavailable } from "../../lib/faults.ts";
import { healthLabels } from "../../lib/health-labels.ts";
import { silentLogger } from "../../lib/log.ts";
import { createKernel } from "../../sys/index.ts";
import { anyOfJson, ociTypeUrls } from "../../wire/any.ts";
import { createExchange } from "../events/index.ts";
import type { Task } from "../tasks/index.ts";
import { newHealthState } from "./health-state.ts";
import { HealthMonitor, StateFiles } from "./index.ts";

const name = { namespace: "n", id: "c" };
const pid = 7;

describe("HealthMonitor, of a container that is to be killed when it is unhealthy", () => {
  test.each([
    ["again when the first signal did not get there", false, 2],
    ["when a death came between its label and the signal", true, 1],
  ])("kills it %s", async (_title, isUnhealthyAlready, calls) => {
    const folder = mkdtempSync(path.join(os.tmpdir(), "health-monitor-"));
    try {
      const files = new StateFiles(path.join(folder, "states"));
      const labels: Record<string, string> = {
        [healthLabels.check]: JSON.stringify({ Test: ["no"], Interval: 5e7, Retries: 1 }),
        [healthLabels.onFailure]: "kill",
      };
      if (isUnhealthyAlready) {
        labels[healthLabels.state] = '{"Status":"unhealthy","FailingStreak":1,"InStartPeriod":false}';
        await files.write(name, { ...newHealthState(pid, 0), status: "unhealthy", failingStreak: 1 });
      }
      const spec = anyOfJson(ociTypeUrls.spec, { process: { args: ["x"] } });
      const container = create(ContainerSchema, { id: name.id, labels, spec });
      const killed = Promise.withResolvers<void>();
      let kills = 0;
      const task = {
        state: async () => ({ status: Status.RUNNING, pid }),
        exec: async () => {},
        start: async () => 8,
        wait: async () => ({ exitStatus: 1 }),
        deleteProcess: async () => ({}),
        kill: async () => {
          kills += 1;
          if (kills < calls) throw unavailable("the shim is busy");
          killed.resolve();
        },
      } as unknown as Task;
      await using _monitor = new HealthMonitor({
        containers: {
          checked: () => [name],
          findChecked: () => container,
          relabel: async (_ctx, _id, change) => {
            const changed = change(container);
            if (changed !== undefined) Object.assign(container.labels, changed);
            return changed && container;
          },
        },
        tasks: { get: async () => task, recovered: Promise.resolve() },
        exchange: createExchange({ log: silentLogger }),
        kernel: createKernel(),
        files,
        pipes: path.join(folder, "pipes"),
        maxProbes: 1,
        checksNerdctl: false,
        log: silentLogger,
      });
      await killed.promise;
      expect(kills).toBeGreaterThanOrEqual(calls);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
