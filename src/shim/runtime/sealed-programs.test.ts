import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  chmodSync,
  copyFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { systemClock } from "../../lib/clock.ts";
import type { Instant } from "../../lib/instant.ts";
import { createLogger } from "../../lib/log.ts";
import { createKernel, type Kernel, SysError } from "../../sys/index.ts";
import type { RuntimeKind } from "./runtime-kind.ts";
import { SealedPrograms } from "./sealed-programs.ts";
import { createSpawner } from "./spawner.ts";

/** Any program that tells which file it runs from. */
const program = Bun.which("readlink") ?? "/bin/readlink";
const inMemory = "/memfd:runtime (deleted)";

describe("SealedPrograms.find", () => {
  let folder: string;
  let binary: string;
  let lines: string[];
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "lighter-sealed-"));
    binary = join(folder, "runtime");
    copyFileSync(program, binary);
    lines = [];
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const later = (): Instant => systemClock().plusMs(60_000);
  /** Programs of a kind, and how often somebody asked for it: once for each reading. */
  function open({ kind = "crun" as RuntimeKind, kernel = createKernel(), now = later } = {}) {
    const log = createLogger({ level: "warn", format: "text", write: (line) => void lines.push(line) });
    const asked = { count: 0 };
    const kinds = {
      of: async () => {
        asked.count++;
        return kind;
      },
    };
    return Object.assign(new SealedPrograms({ kernel, kinds, log, now }), { asked });
  }
  const found = (programs: SealedPrograms): Promise<string> =>
    eventually(() => programs.find(binary), "a program in memory");
  const held = (): string[] =>
    readdirSync("/proc/self/fd").filter((fd) => linkOf(`/proc/self/fd/${fd}`).startsWith("/memfd:runtime"));

  test("answers with a sealed file of the program's bytes, which runs under the program's own name", async () => {
    using programs = open();
    expect(programs.find(binary)).toBeUndefined();
    const path = await found(programs);
    expect(createKernel().isSealed(Number(path.split("/").at(-1)))).toBe(true);
    expect(readFileSync(path).equals(readFileSync(binary))).toBe(true);
    const spawner = createSpawner({ limit: 1, env: process.env });
    const options = { wantStdout: true, program: () => programs.find(binary) };
    expect((await spawner.run([binary, "/proc/self/exe"], options)).output.trim()).toBe(inMemory);
    expect((await spawner.run([binary, "--version"], options)).output).toContain("readlink");
    expect(programs.find(binary)).toBe(path);
    expect(held()).toHaveLength(1);
  });

  test("reads a program again that was replaced, and lets go of the one before it", async () => {
    using programs = open();
    const before = await found(programs);
    const next = join(folder, "next");
    writeFileSync(next, Buffer.concat([readFileSync(program), Buffer.from("newer")]), { mode: 0o755 });
    renameSync(next, binary);
    expect(programs.find(binary)).toBeUndefined();
    const path = await found(programs);
    expect(readFileSync(path).subarray(-5).toString()).toBe("newer");
    expect(held()).toEqual([path.split("/").at(-1) ?? ""]);
    rmSync(binary);
    expect(programs.find(binary)).toBeUndefined();
    expect([before !== "", held()]).toEqual([true, []]);
  });

  test("reads nothing that was changed just now, until that is a while ago", async () => {
    let isLater = false;
    using programs = open({ now: () => (isLater ? later() : systemClock()) });
    writeFileSync(binary, Buffer.concat([readFileSync(program), Buffer.from("1")]));
    await eventually(() => programs.find(binary) === undefined && programs.asked.count > 2, "readings");
    isLater = true;
    await found(programs);
  });

  test.each<[string, (path: string) => void]>([
    ["a script", (path) => writeFileSync(path, "#!/bin/sh\n")],
    ["a program with another user's rights", (path) => chmodSync(path, 0o4755)],
  ])("leaves %s where it is", async (_what, change) => {
    change(binary);
    const own = createKernel();
    const made: string[] = [];
    const memoryFile = (name: string): number => {
      made.push(name);
      return own.memoryFile(name);
    };
    using programs = open({ kernel: { ...own, memoryFile } });
    expect(programs.find(binary)).toBeUndefined();
    // The next version is read once the reading of this one is over.
    rmSync(binary);
    copyFileSync(program, binary);
    await found(programs);
    expect(made).toEqual(["runtime"]);
  });

  test.each(["runc", "other"] as const)("leaves runtimes of the kind %s where they are", async (kind) => {
    using programs = open({ kind });
    await eventually(() => programs.find(binary) === undefined && programs.asked.count > 2, "readings");
    expect(held()).toEqual([]);
  });

  test("knows no relative paths, and no programs that are not there", async () => {
    using programs = open();
    for (const name of ["./runtime", join(folder, "none"), "no-such-runtime"])
      expect(programs.find(name)).toBeUndefined();
    expect(programs.asked.count).toBe(0);
  });

  test("says once where the kernel takes no programs in memory, and has them run as they are", async () => {
    const refuse = (): never => {
      throw new SysError("memfd_create", 13);
    };
    const kernel: Kernel = { ...createKernel(), memoryFile: refuse };
    using programs = open({ kernel });
    programs.find(binary);
    await eventually(() => lines.length > 0, "a warning");
    const { count } = programs.asked;
    expect(programs.find(binary)).toBeUndefined();
    expect([programs.asked.count, lines.length]).toEqual([count, 1]);
    expect(lines[0]).toContain("permission denied");
  });

  test("holds nothing after its end, and a bounded number of programs before it", async () => {
    const programs = open();
    const names = Array.from({ length: 5 }, (_, n) => join(folder, `runtime${n}`));
    for (const name of names) copyFileSync(program, name);
    const first = names.slice(0, 4);
    await eventually(() => first.map((name) => programs.find(name)).every((path) => path !== undefined), "four");
    const { count } = programs.asked;
    expect([programs.find(names[4] ?? ""), programs.asked.count]).toEqual([undefined, count]);
    expect(held()).toHaveLength(4);
    programs[Symbol.dispose]();
    expect([programs.find(binary), held()]).toEqual([undefined, []]);
  });
});

describe("Spawner.run", () => {
  test("runs the program itself where another file can't be run in its place", async () => {
    const spawner = createSpawner({ limit: 1, env: process.env });
    const options = { wantStdout: true, program: () => "/no/such/file" };
    expect(await spawner.run(["echo", "hello"], options)).toEqual({ exitStatus: 0, output: "hello\n" });
  });
});

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    // The listing's own descriptor, gone by now.
    return "";
  }
}

async function eventually<T>(what: () => T, name: string): Promise<NonNullable<T>> {
  const deadline = performance.now() + 20_000;
  for (;;) {
    const value = what();
    if (value) return value as NonNullable<T>;
    if (performance.now() > deadline) throw new Error(`no ${name}`);
    await Bun.sleep(2);
  }
}
