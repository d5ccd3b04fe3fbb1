import fs from "node:fs/promises";
import { runOk, waitFor } from "../../test/support/index.ts";
import { ratioInTurn } from "./pairs.ts";

/** ADR 1: an empty program on Bun beside the same on the Node that is installed. */
export async function measureRuntime(): Promise<readonly string[]> {
  const bun = process.execPath;
  const node = (await runOk(["which", "node"])).trim();
  const version = (await runOk([node, "--version"])).trim();
  const start = (program: string) => async (): Promise<number> => {
    const began = performance.now();
    await runOk([program, "-e", "0"]);
    return performance.now() - began;
  };
  const memory = (program: string, field: string) => (): Promise<number> => heldBy(program, field);
  return [
    `Bun ${Bun.version} : Node ${version}`,
    `start of an empty program: ${await ratioInTurn(start(bun), start(node), 15)}`,
    `resident memory of an idle program: ${await ratioInTurn(memory(bun, "Rss"), memory(node, "Rss"), 5)}`,
    `its private dirty memory: ${await ratioInTurn(memory(bun, "Private_Dirty"), memory(node, "Private_Dirty"), 5)}`,
  ];
}

/** Kilobytes of a program that waits. */
async function heldBy(program: string, field: string): Promise<number> {
  const child = Bun.spawn([program, "-e", "console.log('up'); setInterval(() => {}, 60000)"], {
    stdin: "ignore",
    stdout: "pipe",
  });
  try {
    const reader = child.stdout.getReader();
    await reader.read();
    return await waitFor("its memory", async () => {
      const text = await fs.readFile(`/proc/${child.pid}/smaps_rollup`, "utf8");
      return Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(text)?.[1]);
    });
  } finally {
    child.kill("SIGKILL");
    await child.exited;
  }
}
