import { describe, expect } from "bun:test";
import { busyboxImage, sharedDaemon } from "../support/index.ts";

describe("input that ends before its client knows of the task", () => {
  const shared = sharedDaemon();

  // ctr then sends no CloseIO, and under containerd the container mostly waits for ever.
  shared.test("ends for the container too", async (daemon) => {
    for (let i = 0; i < 3; i++) {
      const result = await daemon.ctr(["run", "--rm", ...daemon.runtimeFlags, busyboxImage, shared.newId(), "cat"], {
        input: "x",
        timeoutMs: 20_000,
      });
      expect(result).toMatchObject({ code: 0, stdout: "x" });
    }
  });
});
