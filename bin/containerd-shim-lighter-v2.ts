import { parseArgs } from "node:util";
import { messageOf } from "../src/lib/faults.ts";
import { type LogLevel, logLevels } from "../src/lib/log.ts";
import { runShimHost } from "../src/shim/index.ts";
import { shrinkWhenIdle } from "../src/sys/index.ts";

const usage = `usage: containerd-shim-lighter-v2 host --socket PATH --state DIR [--log FILE] [--log-level LEVEL] [--runtime BINARY]`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    socket: { type: "string" },
    state: { type: "string" },
    log: { type: "string" },
    "log-level": { type: "string", default: "info" },
    runtime: { type: "string" },
  },
});

function isLogLevel(value: string): value is LogLevel {
  return (logLevels as readonly string[]).includes(value);
}

async function main(): Promise<number> {
  const { socket, state, log: logFile, runtime } = values;
  const logLevel = values["log-level"];
  if (positionals[0] !== "host" || socket === undefined || state === undefined || !isLogLevel(logLevel)) {
    console.error(usage);
    return 2;
  }
  // A terminal or a pipe of the daemon's that goes away is no reason to end.
  for (const signal of ["SIGHUP", "SIGPIPE"] as const) process.on(signal, () => {});
  await using host = await runShimHost({ socket, state, logFile, logLevel, runtime });
  const { promise: signalled, resolve } = Promise.withResolvers<void>();
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => resolve());
  using _watch = shrinkWhenIdle();
  process.stdout.write("ready\n");
  await Promise.race([host.ended, signalled]);
  return 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(`containerd-shim-lighter-v2: ${messageOf(error)}`);
  process.exitCode = 1;
}
process.exit();
