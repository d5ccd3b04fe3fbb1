import { describe, expect, test } from "bun:test";
import { type FaultKind, fault } from "../lib/faults.ts";
import { checkpointHint } from "./checkpoint-hint.ts";

describe("checkpointHint", () => {
  const failed = "OCI runtime checkpoint failed: ";
  test.each<[FaultKind, string, string | undefined]>([
    ["notImplemented", "unknown service lighter.checkpoints.v1.Checkpoints", "lighterd"],
    ["notFound", 'checkpoint "x" of container "c": not found', "lighter checkpoint ls"],
    ["alreadyExists", 'checkpoint "x" of container "c": already exists', "lighter checkpoint rm"],
    ["unknown", `${failed}CRIU version check failed: exec: "criu": executable file not found in $PATH`, "install criu"],
    ["unknown", `${failed}CRIU: failed checking version: Communication error on send`, "install criu"],
    ["unknown", `${failed}unknown command checkpoint`, "--runtime runc"],
    ["unknown", `${failed}inet: Connected TCP socket, consider using --tcp-established option.`, "--tcp"],
    ["unknown", `${failed}Some file locks are hold by dumping tasks! You can try --file-locks to dump them.`, "--file"],
    ["unknown", `${failed}unix: Unix socket 1 without peer 2`, "--net host only"],
    ["unknown", `${failed}unix: Can't dump half of stream unix connection. name: (null)`, "cannot save a stream"],
    [
      "unknown",
      "OCI runtime restore failed: criu failed: unix: Can't connect 1 socket: No such file",
      "must be there again",
    ],
    ["unknown", `${failed}something else`, undefined],
    ["notFound", 'container "c" in namespace "default": not found', undefined],
  ])("%s: %s", (kind, text, want) => {
    const hint = checkpointHint(fault(kind, text), text);
    if (want === undefined) expect(hint).toBeUndefined();
    else expect(hint).toContain(want);
  });
});
