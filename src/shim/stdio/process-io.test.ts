import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLogger } from "../../lib/log.ts";
import { createFdWatcher, createKernel, type Fd } from "../../sys/index.ts";
import { inputPipeBytes, outputPipeBytes } from "./pipe-size.ts";
import { openIo } from "./process-io.ts";

test("openIo makes the FIFOs of all three streams hold what theirs are to hold", async () => {
  const folder = mkdtempSync(join(tmpdir(), "process-io-"));
  using stack = new DisposableStack();
  stack.defer(() => rmSync(folder, { recursive: true }));
  const [stdin, stdout, stderr] = ["stdin", "stdout", "stderr"].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  const kernel = createKernel();
  for (const path of [stdin, stdout, stderr]) kernel.mkfifo(path, 0o600);
  const watcher = stack.use(createFdWatcher({ kernel, onError: () => {} }));
  const log = createLogger({ level: "error", format: "text", write: () => {} });
  const stdio = { stdin, stdout, stderr, terminal: false };
  const io = await openIo({ kernel, watcher, log, stdio, id: "c", namespace: "n", uid: 0, gid: 0 });
  stack.defer(() => io.close());
  expect(io.child.map((fd) => kernel.pipeSize(fd as Fd))).toEqual([inputPipeBytes, outputPipeBytes, outputPipeBytes]);
});
