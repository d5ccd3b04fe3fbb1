import { expect, test } from "bun:test";
import { FaultError, fault, notFound, unavailable } from "../lib/faults.ts";
import type { Output } from "./output.ts";
import { reportError } from "./report-error.ts";
import { CommandError, UsageError } from "./usage-error.ts";

function report(error: unknown, command: string, subject?: string): { code: number; text: string } {
  const lines: string[] = [];
  const line = (text: string): void => void lines.push(text);
  const where = { terminal: false, errorTerminal: false, color: false, columns: 80, rows: 0 };
  const output: Output = { line, write: line, note: line, ...where };
  return { code: reportError(error, command, output, subject), text: lines.join("\n") };
}

const failed = (text: string): FaultError => new FaultError("unknown", `OCI runtime create failed: ${text}`);

// What the runtimes say, and what it means to a shell.
test.each([
  [
    'runc create failed: unable to start container process: exec: "x": executable file not found in $PATH',
    127,
    "no such command",
  ],
  [
    'runc create failed: unable to start container process: exec: "/x": stat /x: no such file or directory',
    127,
    "no such command",
  ],
  ["executable file `x` not found in $PATH: No such file or directory", 127, "no such command"],
  [
    'runc create failed: unable to start container process: exec: "/etc/passwd": permission denied',
    126,
    "may not be executed",
  ],
  ["open executable: Operation not permitted", 126, "may not be executed"],
  ['exec: "nope": executable file not found in $PATH', 125, "runtime nope is not installed"],
  ["fork/exec /x/nope: no such file or directory", 125, "runtime /x/nope is not installed"],
  [
    'unable to retrieve OCI runtime error (open /a/log.json: no such file or directory): exec: "nope": executable file not found in $PATH',
    125,
    "runtime nope is not installed",
  ],
  ["EACCES: permission denied, posix_spawn '/x/nope'", 125, "/x/nope is no program that runs here"],
  ["ENOEXEC: unknown error, posix_spawn '/x/nope'", 125, "/x/nope is no program that runs here"],
  ["OOM: the memory limit could be too low: read from sync socket", 125, "--memory"],
])("run: %p ends with %p and says %p", (text, code, hint) => {
  const told = report(failed(text), "run");
  expect(told.code).toBe(code);
  expect(told.text).toContain(hint);
});

test.each([
  [unavailable("connect to /x: no such socket"), 1, "hint: start the daemon"],
  [unavailable("connect to /x: permission denied"), 1, "hint: the socket belongs to root: use sudo"],
  [notFound('image "x"'), 1, "hint: lighter image ls"],
  [fault("failedPrecondition", 'namespace "n" must be empty'), 1, "hint: remove what is in it first"],
  [fault("invalidArgument", 'capability "X" is not known'), 1, "hint: they are named as in capabilities(7)"],
  [fault("invalidArgument", "snapshotter not loaded: x"), 1, "hint: lighter doctor lists"],
  [new UsageError("unknown option --x"), 2, "hint: lighter ps --help"],
  [new CommandError("no", { hint: "do this", exitCode: 3 }), 3, "hint: do this"],
])("ps: failure %# is told with what to do", (error, code, hint) => {
  const told = report(error, "ps");
  expect(told.code).toBe(code);
  expect(told.text).toContain(hint);
});

test("says of whom it tells, and lets no control character through", () => {
  expect(report(new Error("cannot \u001b[2Jpause"), "pause", "web").text).toBe("lighter: web: cannot ?[2Jpause");
});
