import fs from "node:fs/promises";
import path from "node:path";
import { runOk, startInTerminal } from "../test/support/index.ts";
import { newId, type Side } from "./sides.ts";

const zeros = (mebibytes: number): string => `dd if=/dev/zero bs=1M count=${mebibytes}`;

/** Mebibytes a second from a container's stdout through a FIFO into a reader that throws them away. */
export async function measureStdout(side: Side, mebibytes: number): Promise<number> {
  await using fifos = await makeFifos(side, ["stdout", "stderr"]);
  const { stdout, stderr } = fifos.paths;
  const id = newId();
  await side.api.create(id, zeros(mebibytes).split(" "));
  const reader = readAll(stdout);
  const notes = Bun.spawn(["cat", stderr], { stdin: "ignore", stdout: "ignore" });
  await side.api.start(id, { stdout, stderr });
  const [code] = await Promise.all([side.api.wait(id), reader.exited, notes.exited]);
  await side.api.remove(id);
  requireZero(side, "dd", code);
  return mebibytes / secondsOf(await reader.stderr.text(), mebibytes);
}

/** Mebibytes a second from a container's terminal. */
export async function measureTerminal(side: Side, mebibytes: number): Promise<number> {
  await using fifos = await makeFifos(side, ["stdin", "stdout"]);
  const { stdin, stdout } = fifos.paths;
  const id = newId();
  await side.api.create(id, ["sh", "-c", `${zeros(mebibytes)} 2>/dev/null`]);
  const reader = readAll(stdout);
  // Held open: a terminal whose input has ended is another case.
  await using _input = await fs.open(stdin, "r+");
  await startInTerminal(side.api, id, { stdin, stdout });
  const [code] = await Promise.all([side.api.wait(id), reader.exited]);
  await side.api.remove(id);
  requireZero(side, "dd", code);
  return mebibytes / secondsOf(await reader.stderr.text(), mebibytes);
}

/** Mebibytes a second from a writer through a FIFO into a container's stdin. */
export async function measureStdin(side: Side, mebibytes: number): Promise<number> {
  await using fifos = await makeFifos(side, ["stdin", "stdout", "stderr"]);
  const { stdin, stdout, stderr } = fifos.paths;
  const id = newId();
  await side.api.create(id, ["dd", "of=/dev/null", "bs=1M"]);
  const outputs = [stdout, stderr].map((file) => Bun.spawn(["cat", file], { stdin: "ignore", stdout: "ignore" }));
  await using held = await fs.open(stdin, "r+");
  await side.api.start(id, { stdin, stdout, stderr });
  const writer = Bun.spawn(["dd", "if=/dev/zero", `of=${stdin}`, "bs=1M", `count=${mebibytes}`, "conv=notrunc"], {
    stdin: "ignore",
    stderr: "pipe",
  });
  requireZero(side, "the writer", await writer.exited);
  await held.close();
  await side.api.tasks.closeIO({ containerId: id, stdin: true });
  const [code] = await Promise.all([side.api.wait(id), ...outputs.map((output) => output.exited)]);
  await side.api.remove(id);
  requireZero(side, "dd", code);
  return mebibytes / secondsOf(await writer.stderr.text(), mebibytes);
}

type Name = "stdin" | "stdout" | "stderr";

interface Fifos extends AsyncDisposable {
  readonly paths: Readonly<Record<Name, string>>;
}

async function makeFifos(side: Side, names: readonly Name[]): Promise<Fifos> {
  const id = newId();
  const pathOf = (name: Name): string => path.join(side.daemon.workspace.folder, `${id}-${name}`);
  await runOk(["mkfifo", ...names.map(pathOf)]);
  return {
    paths: { stdin: pathOf("stdin"), stdout: pathOf("stdout"), stderr: pathOf("stderr") },
    [Symbol.asyncDispose]: async () => void (await Promise.all(names.map((name) => fs.rm(pathOf(name))))),
  };
}

function readAll(fifo: string): Bun.Subprocess<"ignore", "pipe", "pipe"> {
  return Bun.spawn(["dd", `if=${fifo}`, "of=/dev/null", "bs=1M"], { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
}

function requireZero(side: Side, what: string, code: number): void {
  if (code !== 0) throw new Error(`${what} on ${side.name} ended with ${code}`);
}

/** dd's own clock runs from its first byte's open to the end, which leaves out how long a container takes to start. */
function secondsOf(report: string, mebibytes: number): number {
  const match = /(\d+) bytes .* copied, ([\d.e-]+) s/.exec(report);
  if (Number(match?.[1]) !== mebibytes * 1024 * 1024) throw new Error(`not everything came: ${report}`);
  return Number(match?.[2]);
}
