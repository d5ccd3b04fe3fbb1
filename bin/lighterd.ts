import { writeSync } from "node:fs";
import { daemonPlugins, daemonSchemas, main } from "../src/daemon/index.ts";

/** The daemon. bin/lighterd starts it from a checkout, and says under which name it was called. */
const program = process.env["LIGHTER_PROGRAM"] ?? "lighterd";
// What this process starts goes by its own name.
delete process.env["LIGHTER_PROGRAM"];
process.exitCode = await main({
  program,
  args: process.argv.slice(2),
  plugins: daemonPlugins,
  schemas: daemonSchemas,
  print: (text) => void writeSync(1, text),
  complain: (text) => void writeSync(2, text),
});
process.exit();
