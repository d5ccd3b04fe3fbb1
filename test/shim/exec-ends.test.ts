import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Status } from "../../src/gen/containerd/v1/types/task_pb.ts";
import { openFlags } from "../../src/sys/index.ts";
import { anyOfJson, ociTypeUrls } from "../../src/wire/any.ts";
import { canRun, HostFixture, kernel, processSpec, runtimes } from "./support.ts";

describe.skipIf(!canRun).each([...runtimes])("an exec that has ended on %s", (runtime) => {
  let h: HostFixture;
  beforeAll(async () => {
    h = await HostFixture.start();
  });
  afterAll(() => h[Symbol.asyncDispose]());

  test("is removed once, though two calls do it: the next one of its name is another", async () => {
    const [id, execId] = ["c1", "x"];
    const stdout = h.fifo("unread");
    const reader = kernel.open(stdout, openFlags.readOnly | openFlags.nonBlock);
    await h.tasks.create({ id, ...h.bundle(id, { args: ["sleep", "1000"] }), options: h.options(runtime) });
    await h.tasks.start({ id });
    const spec = anyOfJson(ociTypeUrls.process, processSpec(["echo", "text"]));
    await h.tasks.exec({ id, execId, spec, stdout });
    await h.tasks.start({ id, execId });
    await h.tasks.wait({ id, execId });
    const first = h.tasks.delete({ id, execId });
    // Each waits for the reader, who never comes, for a while of its own: this one's is over later.
    await Bun.sleep(300);
    const second = h.tasks.delete({ id, execId }).catch((error: Error) => error.message);
    await first;
    await h.tasks.exec({ id, execId, spec });
    await second;
    expect(await h.tasks.state({ id, execId })).toMatchObject({ status: Status.CREATED });
    await h.tasks.start({ id, execId });
    expect(await h.tasks.wait({ id, execId })).toMatchObject({ exitStatus: 0 });
    kernel.close(reader);
    await h.tasks.kill({ id, signal: 9 });
    await h.tasks.wait({ id });
    await h.tasks.delete({ id });
  });
});
