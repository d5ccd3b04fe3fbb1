import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { FaultError, messageOf, quote } from "../../lib/faults.ts";
import { type LogLevel, logLevels } from "../../lib/log.ts";

/** The command line. What was not given is undefined. */
export interface DaemonOptions {
  readonly command: "run" | "help" | "version" | "config-default" | "config-dump" | "publish" | "oci-hook" | "takeover";
  readonly configPath: string | undefined;
  readonly root: string | undefined;
  readonly state: string | undefined;
  readonly address: string | undefined;
  readonly logLevel: LogLevel | undefined;
  /** What to do about a store that a containerd left in the root. */
  readonly takeover: "auto" | "again" | "never";
  /** Of `takeover`: say what would be done, and for programs. */
  readonly dryRun: boolean;
  readonly json: boolean;
  /** Of `publish`. */
  readonly topic: string;
  readonly namespace: string;
  /** Of `oci-hook`: what to run. */
  readonly hook: readonly string[];
}

const hookCommand = "oci-hook";

const flags = {
  config: { type: "string", short: "c" },
  root: { type: "string" },
  state: { type: "string" },
  address: { type: "string", short: "a" },
  "log-level": { type: "string", short: "l" },
  topic: { type: "string" },
  namespace: { type: "string" },
  takeover: { type: "boolean" },
  "no-takeover": { type: "boolean" },
  "dry-run": { type: "boolean" },
  json: { type: "boolean" },
  version: { type: "boolean", short: "v" },
  help: { type: "boolean", short: "h" },
} as const;

/** Reads the command line. Errors: invalidArgument, in words for the one who typed it. */
export function parseOptions(args: readonly string[]): DaemonOptions {
  // What follows is another program's, flags and all.
  const at = args.indexOf(hookCommand);
  const { values, positionals } = parse(at < 0 ? args : args.slice(0, at + 1));
  const hook = at < 0 ? [] : args.slice(at + 1);
  if (values.takeover === true && values["no-takeover"] === true)
    throw new FaultError("invalidArgument", "--takeover and --no-takeover exclude each other");
  const given = (name: "config" | "root" | "state" | "address"): string | undefined => {
    const value = values[name];
    if (value === "") throw new FaultError("invalidArgument", `--${name} must not be empty`);
    return value;
  };
  const path = (name: "config" | "root" | "state"): string | undefined => {
    const value = given(name);
    return value === undefined ? undefined : resolve(value);
  };
  return {
    command: values.help ? "help" : values.version ? "version" : commandOf(positionals, values["dry-run"] === true),
    configPath: path("config"),
    root: path("root"),
    state: path("state"),
    address: given("address"),
    logLevel: values["log-level"] === undefined ? undefined : parseLevel(values["log-level"], "--log-level"),
    takeover: values.takeover === true ? "again" : values["no-takeover"] === true ? "never" : "auto",
    dryRun: values["dry-run"] === true,
    json: values.json === true,
    topic: values.topic ?? "",
    namespace: values.namespace ?? "",
    hook: hook[0] === "--" ? hook.slice(1) : hook,
  };
}

/** Reads a level. `panic`, which containerd has, is our `fatal`; the empty text is `info`. */
export function parseLevel(text: string, where: string): LogLevel {
  const wanted = text.toLowerCase();
  if (wanted === "") return "info";
  if (wanted === "panic") return "fatal";
  const level = logLevels.find((one) => one === (wanted === "warning" ? "warn" : wanted));
  if (level === undefined)
    throw new FaultError("invalidArgument", `${where}: unknown level ${quote(text)}; one of ${logLevels.join(", ")}`);
  return level;
}

interface Parsed {
  readonly values: {
    config?: string;
    root?: string;
    state?: string;
    address?: string;
    "log-level"?: string;
    topic?: string;
    namespace?: string;
    takeover?: boolean;
    "no-takeover"?: boolean;
    "dry-run"?: boolean;
    json?: boolean;
    version?: boolean;
    help?: boolean;
  };
  readonly positionals: readonly string[];
}

function parse(args: readonly string[]): Parsed {
  try {
    return parseArgs({ args: args.map(withTwoDashes), options: flags, allowPositionals: true, strict: true });
  } catch (error) {
    throw new FaultError("invalidArgument", `${messageOf(error).split(". ")[0]}; --help shows what there is`);
  }
}

function commandOf(positionals: readonly string[], dryRun: boolean): DaemonOptions["command"] {
  const words = positionals.join(" ");
  // Whoever asks for a dry run must not get a daemon.
  if (words === "") return dryRun ? "takeover" : "run";
  if (dryRun && words !== "takeover") throw new FaultError("invalidArgument", "--dry-run belongs to takeover");
  if (words === "config default") return "config-default";
  if (words === "config dump" || words === "config migrate") return "config-dump";
  if (words === "publish") return "publish";
  if (words === "takeover") return "takeover";
  if (words === hookCommand) return hookCommand;
  // As containerd: a command that has others below it shows what there is.
  if (words === "help" || words === "config" || words === "config help") return "help";
  throw new FaultError("invalidArgument", `unknown command ${quote(words)}; --help shows what there is`);
}

/** Go takes one dash before a long name, too, and shims use it. */
function withTwoDashes(word: string): string {
  const name = /^-([a-z-]{2,})(?:=|$)/.exec(word)?.[1];
  return name !== undefined && Object.hasOwn(flags, name) ? `-${word}` : word;
}
