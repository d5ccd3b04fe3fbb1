import path from "node:path";

/** The checkout's top folder. */
export const top: string = path.resolve(import.meta.dir, "../..");

/** One step of a gate: a command, or a function that answers with what is wrong. */
export interface Step {
  readonly name: string;
  readonly command?: readonly string[];
  readonly action?: () => Promise<string | undefined>;
}

/** The environment of every tool: the pinned ones first. */
export function toolEnv(): Record<string, string | undefined> {
  const bin = path.join(top, "node_modules/.bin");
  return { ...process.env, PATH: `${bin}:${process.env["PATH"] ?? ""}`, FORCE_COLOR: undefined, NO_COLOR: "1" };
}

/** Runs each step, whatever the one before it said, and prints a line for each. Answers whether all passed. */
export async function runSteps(steps: readonly Step[]): Promise<boolean> {
  let good = true;
  for (const step of steps) {
    const started = performance.now();
    const trouble = step.action === undefined ? await runCommand(step.command ?? []) : await step.action();
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    console.log(`${trouble === undefined ? "ok  " : "FAIL"} ${step.name} (${seconds} s)`);
    if (trouble === undefined) continue;
    good = false;
    console.log(trouble.trimEnd().replace(/^/gm, "     "));
  }
  return good;
}

async function runCommand(command: readonly string[]): Promise<string | undefined> {
  const child = Bun.spawn([...command], { cwd: top, env: toolEnv(), stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return code === 0 ? undefined : `${stdout}${stderr}`;
}
