import { writeSync } from "node:fs";
import { parseArgs } from "node:util";
import { messageOf } from "../src/lib/faults.ts";
import { type LogLevel, logLevels } from "../src/lib/log.ts";

const usage = `usage: containerd-shim-lighter-v2 host --socket PATH --state DIR [--log FILE] [--log-level LEVEL] [--runtime BINARY]
       containerd-shim-lighter-v2 -namespace NS -address SOCKET -id ID [-bundle DIR] [-debug] start|delete
       containerd-shim-lighter-v2 -info | -v`;

function isLogLevel(value: string): value is LogLevel {
  return (logLevels as readonly string[]).includes(value);
}

/** Serves tasks until told to end. What it needs is loaded only here: `start` and `delete` are short. */
async function serve(args: string[]): Promise<number> {
  const text = { type: "string" } as const;
  const options = { socket: text, state: text, log: text, "log-level": text, runtime: text, events: text };
  const { values } = parseArgs({ args, options });
  const { socket, state, log: logFile, runtime, events } = values;
  const logLevel = values["log-level"] ?? "info";
  if (socket === undefined || state === undefined || !isLogLevel(logLevel)) {
    console.error(usage);
    return 2;
  }
  // A terminal or a pipe of the daemon's that goes away is no reason to end.
  for (const signal of ["SIGHUP", "SIGPIPE"] as const) process.on(signal, () => {});
  // Heard from the start: a host that was ended while it came into being would leave its keeper.
  const { promise: signalled, resolve } = Promise.withResolvers<void>();
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => resolve());
  const { runShimHost } = await import("../src/shim/index.ts");
  const { shrinkWhenIdle } = await import("../src/sys/index.ts");
  await using host = await runShimHost({ socket, state, logFile, logLevel, runtime, events });
  using _watch = shrinkWhenIdle();
  // From here on code runs often enough to be worth compiling.
  Bun.unsafe.setJITPolicy(1);
  process.stdout.write("ready\n");
  await Promise.race([host.ended, signalled]);
  return 0;
}

async function main(args: string[]): Promise<number> {
  if (args[0] === "host") return serve(args.slice(1));
  if (args.length === 0) {
    console.error(usage);
    return 2;
  }
  const { runShimCommand } = await import("../src/shim/launch/index.ts");
  await runShimCommand(args, {
    stdin: () => Bun.stdin.bytes(),
    write: (bytes) => void writeSync(1, typeof bytes === "string" ? Buffer.from(bytes) : bytes),
    cwd: process.cwd(),
    env: process.env,
  });
  return 0;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  console.error(`containerd-shim-lighter-v2: ${messageOf(error)}`);
  process.exitCode = 1;
}
process.exit();
