import { describe, expect } from "bun:test";
import path from "node:path";
import {
  busyboxImage,
  type Daemon,
  runInTerminal,
  sharedDaemon,
  type TerminalSession,
  waitFor,
  writeBusyboxImage,
} from "../support/index.ts";
import { environment, lighter, lighterOk, program } from "./support.ts";

/** What a terminal's orders begin with. */
const escape = "\x1b";

/** Starts the command on a terminal of 80 by 24. */
function onTerminal(
  daemon: Daemon,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): TerminalSession {
  return runInTerminal([program, ...args], { env: { ...environment(daemon), ...env } });
}

async function shows(session: TerminalSession, wanted: string | RegExp): Promise<void> {
  const found = (): boolean =>
    typeof wanted === "string" ? session.output().includes(wanted) : wanted.test(session.output());
  await waitFor(`${wanted} on the terminal`, found).catch((error: unknown) => {
    throw new Error(`not shown: ${wanted}; but ${JSON.stringify(session.output())}`, { cause: error });
  });
}

describe("lighter on a terminal", () => {
  const shared = sharedDaemon();

  shared.test("gives the container one, of the same size, and follows it", async (daemon) => {
    const session = onTerminal(daemon, ["run", "--rm", "-it", busyboxImage, "sh"]);
    session.type("tty; stty size\n");
    await shows(session, /\/dev\/pts\/0\r\n24 80\r\n/);
    session.resize(70, 20);
    await waitFor("the new size", () => {
      session.type("stty size\n");
      return session.output().includes("20 70");
    });
    session.type("exit 4\n");
    expect(await session.exited).toBe(4);
  });

  shared.test("shows the unpacking of an import by bytes, in a line of its own", async (daemon) => {
    const archive = await writeBusyboxImage(path.join(daemon.workspace.folder, "again.tar"));
    await lighterOk(daemon, ["rmi", busyboxImage]);
    await lighterOk(daemon, ["system", "gc"]);
    const session = onTerminal(daemon, ["image", "import", archive]);
    expect(await session.exited).toBe(0);
    expect(session.output()).toMatch(/importing .*KiB of|importing .*MiB of/);
    expect(session.output()).toMatch(/unpacking .*1\.0\d MiB of 1\.0\d MiB/);
  });

  // On runc: crun 1.8 sets the size of an exec's terminal only after the process may run.
  shared.test("has its size from the first moment, in run and in exec", async (daemon) => {
    const flags = ["-it", "--name", "sized", "--runtime", "runc"];
    const first = onTerminal(daemon, ["run", ...flags, busyboxImage, "sh", "-c", "stty size; read x"]);
    await shows(first, "24 80\r\n");
    const second = onTerminal(daemon, ["exec", "-it", "sized", "stty", "size"]);
    expect(await second.exited).toBe(0);
    expect(second.output()).toBe("24 80\r\n");
    first.type("\n");
    await first.exited;
    await lighterOk(daemon, ["rm", "sized"]);
  });

  shared.test("leaves a container by the detach keys and comes back to it", async (daemon) => {
    const first = onTerminal(daemon, ["run", "-it", "--name", "left", busyboxImage, "sh"]);
    first.type("echo a$((1+1))b\n");
    await shows(first, "a2b");
    first.type("\x10\x11");
    expect(await first.exited).toBe(0);
    expect(first.output()).toContain("lighter attach left comes back");
    expect(await lighterOk(daemon, ["ps", "-q"])).toContain("left\n");
    const second = onTerminal(daemon, ["attach", "left"]);
    second.type("echo c$((2+2))d\n");
    await shows(second, "c4d");
    second.type("exit 7\n");
    expect(await second.exited).toBe(7);
    expect((await lighter(daemon, ["attach", "left"])).stderr).toContain("is not running\nhint: lighter start -a left");
    await lighterOk(daemon, ["rm", "left"]);
  });

  shared.test("passes ctrl-c on, and kills at the third what ignores it", async (daemon) => {
    const polite = onTerminal(daemon, [
      "run",
      "--rm",
      busyboxImage,
      "sh",
      "-c",
      "trap 'exit 9' INT; echo ready; while :; do sleep 0.05; done",
    ]);
    await shows(polite, "ready");
    polite.type("\x03");
    expect(await polite.exited).toBe(9);
    const deaf = onTerminal(daemon, [
      "run",
      "--rm",
      busyboxImage,
      "sh",
      "-c",
      "trap '' INT; echo ready; while :; do sleep 0.05; done",
    ]);
    await shows(deaf, "ready");
    deaf.type("\x03");
    await shows(deaf, "^C");
    deaf.type("\x03");
    await shows(deaf, "press ctrl-c once more to kill it");
    deaf.type("\x03");
    expect(await deaf.exited).toBe(137);
  });

  shared.test("draws live figures over one another and gives the cursor back", async (daemon) => {
    await lighterOk(daemon, ["run", "-d", "--name", "busy", busyboxImage, "sh", "-c", "while :; do :; done"]);
    const session = onTerminal(daemon, ["stats", "--interval", "0.2"]);
    await shows(session, new RegExp(`${escape}\\[\\d+A${escape}\\[J[^]*busy`));
    session.resize(40, 24);
    await shows(
      session,
      new RegExp(`${["ID", "CPU +", "MEMORY +", "PIDS"].join(`${escape}\\[22m {2}${escape}\\[1m`)}${escape}\\[22m\r\n`),
    );
    session.type("\x03");
    expect(await session.exited).toBe(0);
    expect(session.output()).toStartWith("\x1b[?25l");
    expect(session.output()).toEndWith("\x1b[?25h");
  });

  shared.test("colours tables, unless told not to, and never breaks a line", async (daemon) => {
    const colored = onTerminal(daemon, ["ps"]);
    await colored.exited;
    expect(colored.output()).toMatch(new RegExp(`${escape}\\[32mUp [^]*${escape}\\[39m`));
    const plain = onTerminal(daemon, ["ps"], { NO_COLOR: "1", COLUMNS: "40" });
    await plain.exited;
    expect(plain.output()).not.toContain("\x1b");
    for (const line of plain.output().split("\r\n")) expect(line.length).toBeLessThanOrEqual(40);
    const shell = onTerminal(daemon, ["exec", "-it", "busy", "sh"]);
    shell.type("tty; exit 6\n");
    expect(await shell.exited).toBe(6);
    expect(shell.output()).toContain("/dev/pts/");
    await lighterOk(daemon, ["rm", "-f", "busy"]);
  });
});
