import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Status } from "../../src/gen/containerd/v1/types/task_pb.ts";
import { openFlags } from "../../src/sys/index.ts";
import { canRun, HostFixture, kernel, readFifo, runtimes } from "./support.ts";

describe.skipIf(!canRun).each([...runtimes])("the stdin of a task on %s", (runtime) => {
  let h: HostFixture;
  let count = 0;
  beforeAll(async () => {
    h = await HostFixture.start();
  });
  afterAll(() => h[Symbol.asyncDispose]());

  interface Streams {
    readonly stdin: string;
    readonly stdout: string;
  }
  async function make(args: readonly string[], streams: Streams): Promise<string> {
    const id = `c${count++}`;
    await h.tasks.create({ id, ...h.bundle(id, { args }), ...streams, options: h.options(runtime) });
    return id;
  }
  async function run(args: readonly string[], streams: Streams): Promise<string> {
    const id = await make(args, streams);
    await h.tasks.start({ id });
    return id;
  }

  test("stdin reaches the process and ends once the client and CloseIO say so", async () => {
    const [stdin, stdout] = [h.fifo(`i${count}`), h.fifo(`o${count}`)];
    const output = readFifo(stdout);
    const id = await run(["cat"], { stdin, stdout });
    const writer = kernel.open(stdin, openFlags.writeOnly);
    kernel.write(writer, Buffer.from("one "));
    kernel.close(writer);
    const again = kernel.open(stdin, openFlags.writeOnly);
    kernel.write(again, Buffer.from("two"));
    kernel.close(again);
    expect((await h.tasks.state({ id })).status).toBe(Status.RUNNING);
    await h.tasks.closeIO({ id, stdin: true });
    expect(await h.tasks.wait({ id })).toMatchObject({ exitStatus: 0 });
    expect(await output).toBe("one two");
    await h.tasks.closeIO({ id, stdin: true });
    await h.tasks.delete({ id });
  });

  // ctr writes what it has while its task is made, and sends no CloseIO when it comes to the end before it knows of the task.
  test("stdin that a client ended between creation and start ends", async () => {
    const [stdin, stdout] = [h.fifo(`bi${count}`), h.fifo(`bo${count}`)];
    const output = readFifo(stdout);
    const writer = kernel.open(stdin, openFlags.readWrite);
    const client = kernel.open(stdin, openFlags.writeOnly);
    kernel.close(writer);
    const id = await make(["wc", "-c"], { stdin, stdout });
    kernel.write(client, Buffer.alloc(1000));
    kernel.close(client);
    await h.tasks.start({ id });
    expect(await h.tasks.wait({ id })).toMatchObject({ exitStatus: 0 });
    expect(await output).toBe("1000\n");
    await h.tasks.delete({ id });
  });

  test("stdin that nobody opened before the start waits for a client", async () => {
    const [stdin, stdout] = [h.fifo(`ni${count}`), h.fifo(`no${count}`)];
    const output = readFifo(stdout);
    const id = await run(["cat"], { stdin, stdout });
    const client = kernel.open(stdin, openFlags.writeOnly);
    kernel.write(client, Buffer.from("late"));
    await h.tasks.closeIO({ id, stdin: true });
    kernel.close(client);
    expect(await h.tasks.wait({ id })).toMatchObject({ exitStatus: 0 });
    expect(await output).toBe("late");
    await h.tasks.delete({ id });
  });
});
