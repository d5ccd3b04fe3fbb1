import { describe, expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import { TimestampSchema } from "@bufbuild/protobuf/wkt";
import { KeyedMutex } from "../../lib/keyed-mutex.ts";
import { silentLogger } from "../../lib/log.ts";
import type { ShimEnd } from "../shims/index.ts";
import { OwnShims, type OwnShimsOptions } from "./own-shims.ts";
import type { ShimTask } from "./shim-task.ts";
import { TaskTable } from "./task-table.ts";

describe("OwnShims.watch", () => {
  const end = { pid: 7, exitStatus: 137, exitedAt: create(TimestampSchema, { seconds: 9n }) };

  function bed() {
    const happened: string[] = [];
    const table = new TaskTable();
    const dying = Promise.withResolvers<ShimEnd>();
    const shim = { own: { ended: dying.promise } };
    const task = { namespace: "n", id: "a", bundle: "/b", shim } as unknown as ShimTask;
    const removed = Promise.withResolvers<void>();
    const lost: OwnShimsOptions["lost"] = ({ namespace, id, pid, exitStatus }) => {
      happened.push(`${namespace} lost ${id} ${pid} ${exitStatus}`);
    };
    const publish: OwnShimsOptions["exchange"]["publish"] = (ctx, topic) =>
      void happened.push(`${ctx.namespace} ${topic}`);
    const remove: OwnShimsOptions["bundles"]["remove"] = async () => {
      happened.push(table.size === 0 ? "bundle removed" : "bundle removed early");
      removed.resolve();
    };
    const parts = {
      table,
      lost,
      locks: new KeyedMutex(),
      log: silentLogger,
      exchange: { publish },
      bundles: { remove },
    };
    const shims = new OwnShims(parts as unknown as OwnShimsOptions);
    table.add(task);
    shims.watch(task);
    return { happened, table, task, die: () => dying.resolve(end), removed: removed.promise };
  }

  test("says that a task is lost before its events come, which look as if a client had deleted it", async () => {
    const { happened, die, removed } = bed();
    die();
    await removed;
    expect(happened).toEqual(["n lost a 7 137", "n /tasks/exit", "n /tasks/delete", "bundle removed"]);
  });

  test("says nothing of one that was deleted before", async () => {
    const { happened, table, task, die } = bed();
    table.remove(task);
    die();
    await task.shim.own?.ended;
    await new Promise((resolve) => setImmediate(resolve));
    expect(happened).toEqual([]);
  });
});
