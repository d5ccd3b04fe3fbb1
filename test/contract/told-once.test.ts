import { describe, expect, test } from "bun:test";
import {
  busyboxImage,
  type Daemon,
  daemonNeeds,
  importBusybox,
  missing,
  startContainerd,
  startLighter,
} from "../support/index.ts";

const lacks = missing(["ours", "containerd", ...daemonNeeds()]);

/** What ctr shows of programs that are not there: of a container's, by name and by path, and of an exec's. */
async function failuresOf(daemon: Daemon): Promise<readonly unknown[]> {
  await importBusybox(daemon);
  const run = (id: string, ...args: string[]) =>
    daemon.ctr(["run", "--rm", ...daemon.runtimeFlags, busyboxImage, id, ...args]);
  const told: unknown[] = [await run("a", "no-such"), await run("b", "/no/such"), await run("c", "/bin/sh/such")];
  await daemon.ctrOk(["run", "-d", "--null-io", ...daemon.runtimeFlags, busyboxImage, "long", "sleep", "1000"]);
  const exec = (...args: string[]) => daemon.ctr(["tasks", "exec", "--exec-id", "e", "long", ...args]);
  told.push(await exec("no-such"), await exec("/no/such"), await exec("sh", "-c", "echo out; echo err >&2; exit 3"));
  await daemon.ctrOk(["tasks", "rm", "-f", "long"]);
  return told;
}

describe.skipIf(lacks !== undefined).each(["runc", "crun"] as const)(
  "a program that is not there, on %s",
  (runtime) => {
    test("is told of once, in containerd's words", async () => {
      const answers: (readonly unknown[])[] = [];
      for (const start of [startContainerd, startLighter]) {
        await using daemon = await start({ runtime });
        answers.push(await failuresOf(daemon));
      }
      expect(answers[1]).toEqual(answers[0] ?? []);
      expect(JSON.stringify(answers[1]?.[0]).match(/no-such/g)).toHaveLength(1);
    }, 90_000);
  },
);
