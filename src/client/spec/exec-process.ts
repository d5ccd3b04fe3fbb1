import { parseExactJson } from "../../lib/exact-json.ts";
import { invalidArgument } from "../../lib/faults.ts";
import { isObject, textList } from "../images/documents.ts";
import type { ProcessSpec, UserSpec } from "./runtime-spec.ts";

export interface ExecOptions {
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly cwd?: string | undefined;
  readonly user?: UserSpec | undefined;
  readonly terminal: boolean;
  readonly consoleSize?: { readonly width: number; readonly height: number } | undefined;
}

/**
 * The process of an exec: the container's own with another command.
 * Errors: invalidArgument when the container's spec is not one.
 */
export function execProcess(spec: Uint8Array, options: ExecOptions): ProcessSpec {
  const whole = parseExactJson(new TextDecoder().decode(spec));
  const own = isObject(whole) ? whole["process"] : undefined;
  if (!isObject(own)) throw invalidArgument("the container's spec has no process");
  const names = new Map(textList(own["env"]).map((entry) => [entry.split("=", 1)[0], entry]));
  if (options.terminal && !names.has("TERM")) names.set("TERM", "TERM=xterm");
  for (const entry of options.env) names.set(entry.split("=", 1)[0], entry);
  return {
    ...(own as unknown as ProcessSpec),
    args: [...options.args],
    env: [...names.values()],
    cwd: options.cwd ?? (typeof own["cwd"] === "string" ? own["cwd"] : "/"),
    ...(options.user === undefined ? {} : { user: options.user }),
    terminal: options.terminal,
    ...(options.consoleSize === undefined ? {} : { consoleSize: { ...options.consoleSize } }),
  };
}
