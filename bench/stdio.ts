import fs from "node:fs/promises";
import path from "node:path";
import { runOk } from "../test/support/index.ts";
import { newId, type Side } from "./sides.ts";

/** Mebibytes a second from a container's stdout through a FIFO into a reader that throws them away. */
export async function measureStdout(side: Side, mebibytes: number): Promise<number> {
  const id = newId();
  const stdout = path.join(side.daemon.workspace.folder, `${id}-stdout`);
  const stderr = path.join(side.daemon.workspace.folder, `${id}-stderr`);
  await runOk(["mkfifo", stdout, stderr]);
  await side.api.create(id, ["dd", "if=/dev/zero", "bs=1M", `count=${mebibytes}`]);
  const reader = Bun.spawn(["dd", `if=${stdout}`, "of=/dev/null", "bs=1M"], { stdin: "ignore", stderr: "pipe" });
  const notes = Bun.spawn(["cat", stderr], { stdin: "ignore", stdout: "ignore" });
  await side.api.start(id, { stdout, stderr });
  const [code] = await Promise.all([side.api.wait(id), reader.exited, notes.exited]);
  await side.api.remove(id);
  await Promise.all([fs.rm(stdout), fs.rm(stderr)]);
  if (code !== 0) throw new Error(`dd on ${side.name} ended with ${code}`);
  return mebibytes / secondsOf(await reader.stderr.text(), mebibytes);
}

/** The reader's own time runs from its first byte's open to the end, which leaves out how long a container takes to start. */
function secondsOf(report: string, mebibytes: number): number {
  const match = /(\d+) bytes .* copied, ([\d.e-]+) s/.exec(report);
  if (Number(match?.[1]) !== mebibytes * 1024 * 1024) throw new Error(`the reader did not get everything: ${report}`);
  return Number(match?.[2]);
}
