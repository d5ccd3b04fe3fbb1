import { spawnSync } from "node:child_process";
import path from "node:path";
import { fileURLToPath } from "node:url";

/** The checkout's top folder. */
export const top = path.resolve(path.dirname(fileURLToPath(import.meta.url)), "../..");

/** Says what is being done, on stderr: stdout belongs to whatever runs next. */
export function say(text) {
  console.error(`setup: ${text}`);
}

/** Runs a command to its end. Throws with the end of its output when it fails. */
export function run(command, args, options = {}) {
  const result = spawnSync(command, args, {
    cwd: top,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
    ...options,
  });
  if (result.error) throw new Error(`${command}: ${result.error.message}`);
  if (result.status !== 0) {
    const output = `${result.stdout ?? ""}${result.stderr ?? ""}`.trim().split("\n").slice(-12).join("\n");
    throw new Error(`${command} ${args.join(" ")} ended with ${result.status ?? result.signal}\n${output}`);
  }
  return result.stdout;
}
