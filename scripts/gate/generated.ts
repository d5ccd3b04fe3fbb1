import fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { generate } from "./generate.ts";
import { toolEnv, top } from "./steps.ts";

/** Generates src/gen anew from proto/ into a temporary folder and answers with what differs from the committed one. */
export async function checkGenerated(): Promise<string | undefined> {
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), "lighter-gen-"));
  try {
    const problem = await generate(folder);
    if (problem !== undefined) return problem;
    const diff = await capture(["diff", "-ru", "src/gen", path.join(folder, "src/gen")]);
    return diff.code === 0 ? undefined : `${diff.output}\nrun \`npm run generate\` and commit what it writes`;
  } finally {
    await fs.rm(folder, { recursive: true, force: true });
  }
}

async function capture(command: string[]): Promise<{ code: number; output: string }> {
  const child = Bun.spawn(command, { cwd: top, env: toolEnv(), stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { code, output: `${stdout}${stderr}` };
}
