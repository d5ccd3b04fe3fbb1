import { basename } from "node:path";

/** The one executable under its several names, by a link, a copy, or LIGHTER_PROGRAM where a parent of ours starts it. */
const program = basename(process.env["LIGHTER_PROGRAM"] ?? process.argv0);

switch (program) {
  case "lighterd":
  case "containerd":
    process.env["LIGHTER_PROGRAM"] = program;
    await import("./lighterd.ts");
    break;
  case "containerd-shim-lighter-v2":
  case "containerd-shim-runc-v2": // in the place of runc's own, for clients that know options of that runtime alone
    // The host starts itself again, by the executable's path, in a mount namespace of its own.
    process.env["LIGHTER_PROGRAM"] = program;
    await import("./containerd-shim-lighter-v2.ts");
    break;
  case "lighter-worker": {
    // It starts to work at once.
    Bun.unsafe.setJITPolicy(1);
    const { runWorker } = await import("../src/workers/index.ts");
    await runWorker(process.argv[2]);
    break;
  }
  default:
    await import("./lighter.ts");
}
