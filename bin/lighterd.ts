import { writeSync } from "node:fs";
import { daemonPlugins, main } from "../src/daemon/index.ts";

/** The daemon. bin/lighterd starts it from a checkout, and says under which name it was called. */
process.exitCode = await main({
  program: process.env["LIGHTER_PROGRAM"] ?? "lighterd",
  args: process.argv.slice(2),
  plugins: daemonPlugins,
  print: (text) => void writeSync(1, text),
  complain: (text) => void writeSync(2, text),
});
process.exit();
