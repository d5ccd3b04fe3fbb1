import { describe, expect, test } from "bun:test";
import { Instant } from "../../lib/instant.ts";
import { createWarnings } from "./index.ts";

describe("Warnings", () => {
  test("tells each kind once, by its last occurrence", () => {
    let ms = 0;
    const warnings = createWarnings(() => Instant.ofMs(++ms));
    expect(warnings.list()).toEqual([]);
    warnings.emit("cgroup-v1");
    warnings.emit("runc-options-task-api-version");
    warnings.emit("cgroup-v1");
    expect(warnings.list().map(({ id, lastOccurrence }) => [id, lastOccurrence.ms])).toEqual([
      ["io.containerd.deprecation/cgroup-v1", 3],
      ["io.containerd.deprecation/runc-options-task-api-version", 2],
    ]);
    expect(warnings.list()[0]?.message).toStartWith("The support for cgroup v1 is deprecated since containerd v2.2");
  });
});
