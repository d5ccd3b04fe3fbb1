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

/** Flags of the container, and its program: by name and by path, not there or not to be run. */
const containers: readonly (readonly string[])[] = [
  [busyboxImage, "no-such"],
  [busyboxImage, "/no/such"],
  [busyboxImage, "/bin/sh/such"],
  [busyboxImage, "/etc/passwd"],
  [busyboxImage, "/etc"],
  ["--cwd", "/etc", busyboxImage, "./passwd"],
  ["--env", "PATH=/etc", busyboxImage, "passwd"],
  ["--env", "PATH=", busyboxImage, "no-such"],
  ["--env", "PATH=etc:", "--cwd", "/", busyboxImage, "no-such"],
  // Without any; each runtime has its own then, where the program is not.
  ["--env", "PATH", busyboxImage, "no-such"],
];
const execs: readonly (readonly string[])[] = [
  ["no-such"],
  ["/no/such"],
  ["/etc/passwd"],
  ["/etc"],
  ["sh", "-c", "echo out; echo err >&2; exit 3"],
];

/** What ctr shows of programs that can't be run. */
async function failuresOf(daemon: Daemon): Promise<readonly unknown[]> {
  await importBusybox(daemon);
  const told: unknown[] = [];
  for (const [index, words] of containers.entries()) {
    const at = words.indexOf(busyboxImage) + 1;
    const args = [...words.slice(0, at), `c${index}`, ...words.slice(at)];
    told.push([words, await daemon.ctr(["run", "--rm", ...daemon.runtimeFlags, ...args])]);
  }
  await daemon.ctrOk(["run", "-d", "--null-io", ...daemon.runtimeFlags, busyboxImage, "long", "sleep", "1000"]);
  for (const words of execs)
    told.push([words, await daemon.ctr(["tasks", "exec", "--exec-id", "e", "long", ...words])]);
  await daemon.ctrOk(["tasks", "rm", "-f", "long"]);
  return told;
}

describe.skipIf(lacks !== undefined).each(["runc", "crun"] as const)(
  "a program that can't be run, on %s",
  (runtime) => {
    test("is told of once, in containerd's words", async () => {
      const answers: (readonly unknown[])[] = [];
      for (const start of [startContainerd, startLighter]) {
        await using daemon = await start({ runtime });
        answers.push(await failuresOf(daemon));
      }
      expect(answers[1]).toEqual(answers[0] ?? []);
      expect(JSON.stringify(answers[1]?.[0]).match(/such(?=[\\":])/g)?.length).toBeGreaterThan(0);
    }, 90_000);
  },
);
