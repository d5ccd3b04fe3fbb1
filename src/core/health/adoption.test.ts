import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { create } from "@bufbuild/protobuf";
import { ContainerUpdateSchema } from "../../gen/containerd/events/container_pb.ts";
import { TaskExitSchema, TaskStartSchema } from "../../gen/containerd/events/task_pb.ts";
import { type Container, ContainerSchema } from "../../gen/containerd/services/containers/v1/containers_pb.ts";
import { Status } from "../../gen/containerd/v1/types/task_pb.ts";
import { abortFault, createCtx } from "../../lib/ctx.ts";
import { FaultError, notFound } from "../../lib/faults.ts";
import { healthLabels } from "../../lib/health-labels.ts";
import { silentLogger } from "../../lib/log.ts";
import { createKernel } from "../../sys/index.ts";
import { anyOf, anyOfJson, ociTypeUrls } from "../../wire/any.ts";
import { createExchange, type Exchange } from "../events/index.ts";
import type { Task } from "../tasks/index.ts";
import { HealthMonitor, StateFiles } from "./index.ts";

const name = { namespace: "n", id: "c" };
const ctx = createCtx({ namespace: name.namespace });

/** A container whose task runs when the daemon comes up; what is left of a check in it takes its time to be cleared away. */
class Bed implements AsyncDisposable {
  readonly folder: string = mkdtempSync(path.join(os.tmpdir(), "health-adoption-"));
  readonly exchange: Exchange = createExchange({ log: silentLogger });
  readonly calls: string[] = [];
  readonly clearing = Promise.withResolvers<void>();
  readonly probed = Promise.withResolvers<void>();
  readonly monitor: HealthMonitor;
  readonly ended = Promise.withResolvers<{ exitStatus: number }>();
  readonly container: Container;
  /** A kill takes as long. */
  killing: Promise<void> | undefined;
  /** Checks go on until they are killed. */
  hangs = false;
  pid = 7;

  constructor() {
    const spec = anyOfJson(ociTypeUrls.spec, { process: { args: ["x"] } });
    const labels = { [healthLabels.check]: JSON.stringify({ Test: ["CMD", "x"], Interval: 5e7, Retries: 1 }) };
    const container = create(ContainerSchema, { id: name.id, labels, spec });
    this.container = container;
    this.ended.promise.catch(() => {});
    const task = {
      state: async () => ({ status: Status.RUNNING, pid: this.pid }),
      exec: async () => void this.calls.push("exec"),
      start: async () => 8,
      wait: async (_execId: string, signal: AbortSignal) => {
        this.probed.resolve();
        if (!this.hangs) return { exitStatus: 0 };
        signal.addEventListener("abort", () => this.ended.reject(abortFault(signal)));
        return this.ended.promise;
      },
      deleteProcess: async () => {
        this.calls.push("delete");
        if (this.calls.includes("exec") && this.hangs && !this.calls.includes("kill"))
          throw new FaultError("unknown", "cannot delete a running process");
        if (this.calls.includes("exec")) return {};
        await this.clearing.promise;
        this.calls.push("cleared");
        throw notFound("process");
      },
      kill: async () => {
        this.calls.push("kill");
        this.hangs = false;
        await this.killing;
      },
    } as unknown as Task;
    this.monitor = new HealthMonitor({
      containers: { checked: () => [name], findChecked: () => container, relabel: async () => undefined },
      tasks: {
        get: async ({ signal }) => {
          if (signal.aborted) throw abortFault(signal);
          return task;
        },
        recovered: Promise.resolve(),
      },
      exchange: this.exchange,
      kernel: createKernel(),
      files: new StateFiles(path.join(this.folder, "states")),
      pipes: path.join(this.folder, "pipes"),
      maxProbes: 8,
      checksNerdctl: false,
      log: silentLogger,
    });
  }

  started(pid: number): void {
    this.pid = pid;
    const facts = create(TaskStartSchema, { containerId: name.id, pid });
    this.exchange.publish(ctx, "/tasks/start", anyOf(TaskStartSchema, facts));
  }

  exited(): void {
    const facts = create(TaskExitSchema, { containerId: name.id, id: name.id, pid: this.pid });
    this.exchange.publish(ctx, "/tasks/exit", anyOf(TaskExitSchema, facts));
  }

  relabeled(): void {
    const facts = create(ContainerUpdateSchema, { id: name.id });
    this.exchange.publish(ctx, "/containers/update", anyOf(ContainerUpdateSchema, facts));
  }

  /** Waits until something was called so often. */
  async called(call: string, count: number): Promise<void> {
    while (this.calls.filter((one) => one === call).length < count) await Bun.sleep(1);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.clearing.resolve();
    await this.monitor[Symbol.asyncDispose]();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

describe("HealthMonitor, of a container that it takes up", () => {
  test("begins no check while what was left of one is cleared away, though another task has started", async () => {
    await using bed = new Bed();
    await bed.called("delete", 1);
    bed.started(9);
    // Longer than it is to the first check.
    await Bun.sleep(150);
    bed.clearing.resolve();
    await bed.probed.promise;
    expect(bed.calls.slice(0, 3)).toEqual(["delete", "cleared", "exec"]);
  });

  test("takes it up once, though its labels change meanwhile, and ends no check of its own", async () => {
    await using bed = new Bed();
    await bed.called("delete", 1);
    for (let time = 0; time < 3; time++) bed.relabeled();
    await Bun.sleep(20);
    bed.clearing.resolve();
    await bed.called("exec", 3);
    expect(bed.calls.filter((call) => call === "cleared")).toEqual(["cleared"]);
    expect(bed.calls).not.toContain("kill");
    // Each check is removed once, by itself.
    expect(bed.calls.slice(2).join(" ")).toMatch(/^(exec delete ?)+(exec)?$/);
  });

  test("begins no check in a new task while that of the last one is ended: both have the same name", async () => {
    await using bed = new Bed();
    bed.clearing.resolve();
    bed.hangs = true;
    await bed.probed.promise;
    const { promise, resolve } = Promise.withResolvers<void>();
    bed.killing = promise;
    bed.exited();
    await bed.called("kill", 1);
    bed.started(9);
    // Longer than it is to the first check.
    await Bun.sleep(150);
    expect(bed.calls.slice(2)).toEqual(["exec", "delete", "kill"]);
    resolve();
    await bed.called("exec", 2);
    expect(bed.calls.slice(2, 7)).toEqual(["exec", "delete", "kill", "delete", "exec"]);
  });

  test("ends a check that is under way when its label goes, and begins anew when it comes back", async () => {
    await using bed = new Bed();
    bed.clearing.resolve();
    bed.hangs = true;
    await bed.probed.promise;
    const labels = { ...bed.container.labels };
    bed.container.labels = {};
    bed.relabeled();
    await bed.called("kill", 1);
    await bed.called("delete", 3);
    expect(bed.calls.slice(2)).toEqual(["exec", "delete", "kill", "delete"]);
    bed.container.labels = labels;
    bed.relabeled();
    await bed.called("exec", 2);
  });
});
