import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Status } from "../../src/gen/containerd/v1/types/task_pb.ts";
import { anyOfJson, ociTypeUrls } from "../../src/wire/any.ts";
import { canRun, eventually, HostFixture, processSpec, runtimes } from "./support.ts";

describe.skipIf(!canRun).each([...runtimes])("an exec whose start takes its time on %s", (runtime) => {
  let h: HostFixture;
  beforeAll(async () => {
    h = await HostFixture.start();
  });
  afterAll(() => h[Symbol.asyncDispose]());

  /** A task with an exec whose start has reached the runtime, which goes on once `go` is there. */
  async function starting(id: string, program: string): Promise<{ started: Promise<unknown>; go: () => void }> {
    const [script, begun, go] = ["runtime", "begun", "go"].map((name) => join(h.folder, `${id}-${name}`)) as [
      string,
      string,
      string,
    ];
    const hold = `touch ${begun}; while [ ! -e ${go} ]; do sleep 0.02; done`;
    const text = `#!/bin/sh\ncase " $* " in *" exec "*) ${hold};; esac\nexec ${Bun.which(runtime)} "$@"\n`;
    writeFileSync(script, text, { mode: 0o755 });
    await h.tasks.create({ id, ...h.bundle(id, { args: ["sleep", "1000"] }), options: h.options(script) });
    await h.tasks.start({ id });
    const spec = anyOfJson(ociTypeUrls.process, processSpec([program, "1000"]));
    await h.tasks.exec({ id, execId: "x", spec });
    const started = h.tasks.start({ id, execId: "x" });
    // Awaited by the test, perhaps later than it fails.
    started.catch(() => {});
    await eventually(() => existsSync(begun));
    return { started, go: () => writeFileSync(go, "") };
  }

  async function end(id: string): Promise<void> {
    await h.tasks.kill({ id, signal: 9 });
    await h.tasks.wait({ id });
    await h.tasks.delete({ id });
    rmSync(join(h.folder, `${id}-go`));
  }

  test("is not removed under it: that would leave a process that nobody knows of", async () => {
    const { started, go } = await starting("c1", "sleep");
    const deleted = h.tasks.delete({ id: "c1", execId: "x" }).then(
      () => "deleted",
      (error: Error) => error.message,
    );
    // An answer to a later call of the same connection: the delete has been looked at.
    expect(await h.tasks.state({ id: "c1", execId: "x" })).toMatchObject({ status: Status.CREATED });
    go();
    await started;
    expect(await deleted).toContain("cannot delete a running process");
    expect(await h.tasks.state({ id: "c1", execId: "x" })).toMatchObject({ status: Status.RUNNING });
    await h.tasks.kill({ id: "c1", execId: "x", signal: 9 });
    expect(await h.tasks.wait({ id: "c1", execId: "x" })).toMatchObject({ exitStatus: 137 });
    await h.tasks.delete({ id: "c1", execId: "x" });
    await end("c1");
  });

  test("is removed after it when it fails", async () => {
    const { started, go } = await starting("c2", "/no/such/program");
    const deleted = h.tasks.delete({ id: "c2", execId: "x" });
    expect(await h.tasks.state({ id: "c2", execId: "x" })).toMatchObject({ status: Status.CREATED });
    go();
    expect(started).rejects.toThrow("exec failed");
    await deleted;
    await end("c2");
  });
});
