import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Status } from "../../src/gen/containerd/v1/types/task_pb.ts";
import { canRun, eventually, HostFixture, runtimes } from "./support.ts";

describe.skipIf(!canRun).each([...runtimes])("a task whose creation takes its time on %s", (runtime) => {
  let h: HostFixture;
  beforeAll(async () => {
    h = await HostFixture.start();
  });
  afterAll(() => h[Symbol.asyncDispose]());

  /** A creation that has reached the runtime, which does `then` once `go` is called. */
  async function creating(id: string, then: string): Promise<{ created: Promise<{ pid: number }>; go: () => void }> {
    const [script, begun, go] = ["runtime", "begun", "go"].map((name) => join(h.folder, `${id}-${name}`)) as [
      string,
      string,
      string,
    ];
    const hold = `touch ${begun}; while [ ! -e ${go} ]; do sleep 0.02; done; ${then}`;
    const text = `#!/bin/sh\ncase " $* " in *" create "*) ${hold};; esac\nexec ${Bun.which(runtime)} "$@"\n`;
    writeFileSync(script, text, { mode: 0o755 });
    const created = h.tasks.create({ id, ...h.bundle(id, { args: ["sleep", "1000"] }), options: h.options(script) });
    // Awaited by the test, perhaps later than it fails.
    created.catch(() => {});
    await eventually(() => existsSync(begun));
    return { created, go: () => writeFileSync(go, "") };
  }

  test("is told of when it is there to whom asked before", async () => {
    const { created, go } = await creating("c1", ":");
    const [state, wait] = [h.tasks.state({ id: "c1" }), h.tasks.wait({ id: "c1" })];
    const given = new AbortController();
    const gaveUp = h.tasks.state({ id: "c1" }, { signal: given.signal }).then(
      () => "answered",
      () => "gave up",
    );
    given.abort();
    expect(await gaveUp).toBe("gave up");
    go();
    const { pid } = await created;
    expect(await state).toMatchObject({ pid, status: Status.CREATED });
    await h.tasks.start({ id: "c1" });
    await h.tasks.kill({ id: "c1", signal: 9 });
    expect(await wait).toMatchObject({ exitStatus: 137 });
    await h.tasks.delete({ id: "c1" });
  });

  test("is not found by whom asked before when it fails", async () => {
    const { created, go } = await creating("c2", "exit 1");
    const state = h.tasks.state({ id: "c2" }).then(
      () => "found",
      (error: Error) => error.message,
    );
    go();
    expect(created).rejects.toThrow("OCI runtime create failed");
    expect(await state).toContain("container not created: not found");
  });
});
