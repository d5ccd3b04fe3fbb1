import { describe, expect } from "bun:test";
import { createHash } from "node:crypto";
import { run, testNeeding } from "../support/index.ts";
import { startFixture } from "./fixture.ts";

/** grpc-go as Debian's ctr has it: it raises its window while data flows, which must not lose credit. */
describe("ctr over lighter's wire", () => {
  testNeeding(["ctr"], "asks for the version", async () => {
    await using fixture = await startFixture();
    const { stdout } = await run(["ctr", "-a", fixture.path, "version"]);
    expect(stdout).toContain("descriptors");
  });

  for (const [count, size] of [
    [2000, 20_000],
    [300, 300_000],
    [200, 1_000_000],
    [100, 3_000_000],
  ] as const) {
    testNeeding(["ctr"], `gets ${count} events of ${size} bytes`, async () => {
      await using fixture = await startFixture(count, size);
      const { stderr } = await run(["ctr", "-a", fixture.path, "events"]);
      // It does not know the type, and says so for each; then the server ends the stream.
      expect(stderr.match(/cannot unmarshal an event/g)).toHaveLength(count);
      expect(stderr).toEndWith("ctr: EOF\n");
    });
  }

  testNeeding(["ctr"], "reads a blob of 64 MiB", async () => {
    await using fixture = await startFixture();
    const { stdout } = await run(["sh", "-c", `ctr -a ${fixture.path} content get sha256:${"0".repeat(64)} | wc -c`]);
    expect(Number(stdout)).toBe(64 * 1024 * 1024);
  });

  testNeeding(["ctr"], "writes a blob of 128 MiB", async () => {
    await using fixture = await startFixture();
    const input = Buffer.alloc(128 * 1024 * 1024);
    const digest = `sha256:${createHash("sha256").update(input).digest("hex")}`;
    const flags = ["--expected-size", String(input.length), "--expected-digest", digest];
    const result = await run(["ctr", "-a", fixture.path, "content", "ingest", ...flags, "ref"], { input });
    expect(result).toMatchObject({ code: 0, stderr: "" });
  });

  testNeeding(["ctr"], "hears of a deadline", async () => {
    await using fixture = await startFixture(1_000_000, 10);
    const { code, stderr } = await run(["ctr", "-a", fixture.path, "--timeout", "300ms", "events"]);
    expect(code).toBe(1);
    expect(stderr).toContain("context deadline exceeded");
    expect((await fixture.held()).open).toBe(0);
  });
});
