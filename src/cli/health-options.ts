import { parseDuration } from "../lib/duration.ts";
import { type HealthDocument, healthLabels } from "../lib/health-labels.ts";
import type { OptionSpec, ParsedArgs } from "./args.ts";
import { parseWhole } from "./units.ts";
import { UsageError } from "./usage-error.ts";

/** Options of `run` that shape its health check, in docker's words; the last is podman's. */
export const healthOptions: readonly OptionSpec[] = [
  { long: "health-cmd", value: "COMMAND", help: "A command for the container's shell: healthy while it ends with 0" },
  { long: "health-interval", value: "TIME", help: "Between two checks (30s)" },
  { long: "health-timeout", value: "TIME", help: "How long a check may take (30s)" },
  { long: "health-retries", value: "N", help: "So many failures in a row make it unhealthy (3)" },
  {
    long: "health-start-period",
    value: "TIME",
    help: "Failures count for nothing so long, or until the first success (0s)",
  },
  { long: "health-start-interval", value: "TIME", help: "Between two checks in that time (5s)" },
  {
    long: "health-on-failure",
    value: "none|kill",
    choices: ["none", "kill"],
    help: "Kill it when it is unhealthy: --restart starts it again",
  },
  { long: "no-healthcheck", help: "Don't check its health, whatever the image says" },
];

const spans = {
  "health-interval": "Interval",
  "health-timeout": "Timeout",
  "health-start-period": "StartPeriod",
  "health-start-interval": "StartInterval",
} as const;

/** What the command line says of the check; undefined for nothing. Errors: UsageError. */
export function readHealthCheck(args: ParsedArgs): HealthDocument | undefined {
  const command = args.text("health-cmd");
  if (args.flag("no-healthcheck")) {
    if (command !== undefined) throw new UsageError("--health-cmd and --no-healthcheck can't both be");
    return { Test: ["NONE"] };
  }
  const document: HealthDocument = {};
  if (command !== undefined) document.Test = command === "none" ? ["NONE"] : ["CMD-SHELL", command];
  for (const [long, key] of Object.entries(spans)) {
    const text = args.text(long);
    if (text !== undefined) document[key] = nanosOf(text, long);
  }
  const retries = args.text("health-retries");
  if (retries !== undefined) document.Retries = parseWhole(retries, "--health-retries");
  return Object.keys(document).length === 0 ? undefined : document;
}

/** Labels of the container that go with it. */
export function healthOptionLabels(args: ParsedArgs): Record<string, string> {
  return args.text("health-on-failure") === "kill" ? { [healthLabels.onFailure]: "kill" } : {};
}

function nanosOf(text: string, long: string): number {
  const ms = parseDuration(text);
  if (ms === undefined || ms < 0) {
    throw new UsageError(`option --${long}: ${JSON.stringify(text)} is not a duration`, "write it as 30s or 1m30s");
  }
  return Math.round(ms * 1e6);
}
