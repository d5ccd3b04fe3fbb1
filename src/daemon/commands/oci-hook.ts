import { readFileSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { FaultError, invalidArgument, messageOf, quote } from "../../lib/faults.ts";

/** What an OCI runtime tells its hooks on their standard input. Source: OCI runtime-spec, runtime.md, State. */
interface HookState {
  readonly id: string;
  readonly bundle: string;
  readonly pid: number;
  readonly status: string;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface HookOptions {
  /** The program and its arguments, in which `{{id}}` and the like stand for what the state says. */
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The state, as the runtime wrote it. */
  readonly state: string;
}

/**
 * Runs a program as a hook of an OCI runtime, with parts of the container's state put into its arguments and environment.
 * Answers its exit code. Errors: invalidArgument (no program, a state or template that can't be read), unknown (it can't be
 * started). Source: containerd cmd/containerd/command/oci-hook.go.
 */
export async function runHook({ args, env, state }: HookOptions): Promise<number> {
  const values = valuesOf(readState(state));
  const [program, ...rest] = args.map((text) => rendered(text, values));
  if (program === undefined) throw invalidArgument("oci-hook: no program to run");
  const variables = Object.entries(env).map(([name, value]) => [name, rendered(value ?? "", values)] as const);
  try {
    const child = Bun.spawn([program, ...rest], {
      env: Object.fromEntries(variables),
      stdio: ["inherit", "inherit", "inherit"],
    });
    return await child.exited;
  } catch (error) {
    throw new FaultError("unknown", `oci-hook: ${messageOf(error)}`, { cause: error });
  }
}

function readState(text: string): HookState {
  try {
    const { id = "", bundle = "", pid = 0, status = "", annotations = {} } = JSON.parse(text) as Partial<HookState>;
    return { id, bundle, pid, status, annotations };
  } catch (error) {
    throw invalidArgument(`oci-hook: the state on the standard input: ${messageOf(error)}`);
  }
}

type Values = (name: string, argument: string | undefined) => string | undefined;

function valuesOf({ id, bundle, pid, status, annotations }: HookState): Values {
  const plain = new Map([
    ["id", id],
    ["bundle", bundle],
    ["rootfs", rootfsOf(bundle)],
    ["pid", String(pid)],
    ["status", status],
  ]);
  return (name, argument) => {
    if (name === "annotation") return argument === undefined ? undefined : (annotations[argument] ?? "");
    return argument === undefined ? plain.get(name) : undefined;
  };
}

function rootfsOf(bundle: string): string {
  const file = join(bundle, "config.json");
  try {
    const spec = JSON.parse(readFileSync(file, "utf8")) as { root?: { path?: string } } | null;
    const root = spec?.root?.path ?? "";
    return isAbsolute(root) ? root : join(bundle, root);
  } catch (error) {
    throw invalidArgument(`oci-hook: ${file}: ${messageOf(error)}`);
  }
}

/** Source: Go's text/template, of which only the calls that containerd's hooks have are taken. */
function rendered(text: string, values: Values): string {
  return text.replaceAll(
    /\{\{-?\s*(\w+)(?:\s+"([^"\\]*)")?\s*-?\}\}|\{\{/g,
    (action, name?: string, argument?: string) => {
      const value = name === undefined ? undefined : values(name, argument);
      if (value === undefined) throw invalidArgument(`oci-hook: ${quote(text)}: ${quote(action)} is not known`);
      return value;
    },
  );
}
