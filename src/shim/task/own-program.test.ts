import { afterEach, expect, test } from "bun:test";
import { TaskProcess } from "../process/process.ts";
import { startTimeOf } from "../process/process-handle.ts";
import { ownProgram } from "./own-program.ts";

const children: Bun.Subprocess<"pipe", "pipe", "inherit">[] = [];
afterEach(async () => {
  for (const child of children.splice(0)) {
    await child.stdin.end();
    await child.exited;
  }
});

/** A process that its shell forked: it becomes `cat` when it is told a line. */
async function forked(): Promise<{ init: TaskProcess; become: () => void }> {
  // The shell's own input is /dev/null's for what it runs in the background; descriptor 3 is not.
  const script = "exec 3<&0; (read line <&3; exec cat <&3) & echo $!; exec 0<&-; wait";
  const child = Bun.spawn(["sh", "-c", script], { stdin: "pipe", stdout: "pipe", stderr: "inherit" });
  children.push(child);
  const { value } = await child.stdout.getReader().read();
  const init = new TaskProcess("", { stdin: "", stdout: "", stderr: "", terminal: false });
  init.pid = Number(new TextDecoder().decode(value));
  init.startTime = startTimeOf(init.pid);
  init.status = "running";
  const become = (): void => {
    void child.stdin.write("now\n");
    void child.stdin.flush();
  };
  return { init, become };
}

const now = (): number => performance.now();

test("ownProgram() waits until init has become another program, and no longer", async () => {
  const { init, become } = await forked();
  let isDone = false;
  const done = ownProgram({ init, checkpoint: "", begunAtMs: now() + 60_000 }).then(() => {
    isDone = true;
  });
  await Bun.sleep(20);
  expect(isDone).toBe(false);
  become();
  await done;
  await ownProgram({ init, checkpoint: "", begunAtMs: now() + 60_000 });
});

test("ownProgram() gives up some time after the start, and never waits after that", async () => {
  const { init } = await forked();
  const begunAtMs = now() - 4_900;
  await ownProgram({ init, checkpoint: "", begunAtMs });
  expect(now()).toBeGreaterThanOrEqual(begunAtMs + 5_000);
  const task = { init, checkpoint: "", begunAtMs };
  for (let n = 0; n < 1000; n++) await ownProgram(task);
});

test("ownProgram() does not wait for what never runs, was restored, or has ended", async () => {
  const { init } = await forked();
  const begunAtMs = now() + 60_000;
  await ownProgram({ init, checkpoint: "/images", begunAtMs });
  init.status = "created";
  await ownProgram({ init, checkpoint: "", begunAtMs });
  init.status = "running";
  const waiting = ownProgram({ init, checkpoint: "", begunAtMs });
  init.status = "stopped";
  await waiting;
  init.status = "running";
  init.startTime -= 1;
  await ownProgram({ init, checkpoint: "", begunAtMs });
});
