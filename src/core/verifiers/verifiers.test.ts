import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createCtx } from "../../lib/ctx.ts";
import type { Digest } from "../../lib/digest.ts";
import { combineVerifiers, createBindirVerifier } from "./index.ts";

const ctx = createCtx({ namespace: "testing" });
const digest = `sha256:${"a".repeat(64)}` as Digest;
const descriptor = { mediaType: "application/vnd.oci.image.manifest.v1+json", digest, sizeBytes: 7 };

let folder: string;
beforeAll(() => {
  folder = fs.mkdtempSync(join(tmpdir(), "lighter-verifiers-"));
});
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));
beforeEach(() => {
  for (const name of fs.readdirSync(folder)) fs.rmSync(join(folder, name), { recursive: true });
});

const program = (name: string, script: string): void =>
  fs.writeFileSync(join(folder, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
const bindir = (more: object = {}) =>
  createBindirVerifier({ binDir: folder, maxVerifiers: 10, timeoutMs: 5000, ways: ["pull", "import"], ...more });
const failureOf = async (action: () => Promise<unknown>): Promise<string> => {
  try {
    await action();
    return "";
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
};

describe("bindir", () => {
  test("accepts where there is no folder, or nothing in it", async () => {
    const none = await bindir({ binDir: join(folder, "none") }).verify(ctx, "a:1", descriptor);
    expect(none).toEqual({ ok: true, reason: `image verifier directory ${folder}/none does not exist` });
    expect((await bindir().verify(ctx, "a:1", descriptor)).reason).toBe(
      `no image verifier binaries found in ${folder}`,
    );
  });

  test("asks each program by name, digest and descriptor, in order", async () => {
    program("a", 'echo "$@"');
    program("b", "cat");
    const { ok, reason } = await bindir().verify(ctx, "img:1", descriptor);
    expect(ok).toBe(true);
    const asked = `-name img:1 -digest ${digest} -stdin-media-type application/vnd.oci.descriptor.v1+json`;
    expect(reason).toBe(`a => ${asked}, b => {"mediaType":"${descriptor.mediaType}","digest":"${digest}","size":7}`);
  });

  test("rejects with the reason of the first that does", async () => {
    program("a", "echo no seal; exit 3");
    program("b", `touch ${folder}/asked`);
    const judgement = await bindir().verify(ctx, "a:1", descriptor);
    expect(judgement).toEqual({ ok: false, reason: "verifier a rejected image (exit code 3): no seal" });
    expect(fs.existsSync(join(folder, "asked"))).toBe(false);
  });

  test("cuts what is said for too long, and ends what takes too long, its children too", async () => {
    program("a", "head -c 100000 /dev/zero | tr '\\\\0' x");
    const { reason } = await bindir().verify(ctx, "a:1", descriptor);
    expect(reason.length).toBeLessThan(33_000);
    expect(reason).toEndWith("(stdout truncated)");
    program("a", "sleep 60 & wait");
    const started = performance.now();
    expect(await failureOf(() => bindir({ timeoutMs: 300 }).verify(ctx, "a:1", descriptor))).toMatch(
      /^failed to call verifier a \(runtime \d+ms\): /,
    );
    expect(performance.now() - started).toBeLessThan(5000);
  });

  test("asks no more than the most that is configured", async () => {
    program("a", "exit 0");
    program("b", "exit 1");
    expect((await bindir({ maxVerifiers: 1 }).verify(ctx, "a:1", descriptor)).ok).toBe(true);
    expect((await bindir({ maxVerifiers: -1 }).verify(ctx, "a:1", descriptor)).ok).toBe(false);
  });
});

describe("combineVerifiers", () => {
  test("blocks with containerd's words, on the ways that are guarded", async () => {
    program("a", "echo no; exit 1");
    const all = combineVerifiers(new Map([["bindir", bindir()]]));
    expect(await failureOf(() => all.verify(ctx, "pull", "a:1", descriptor))).toBe(
      `image verifier bindir blocked pull of a:1 with digest ${digest} for reason: verifier a rejected image (exit code 1): no`,
    );
    await all.verify(ctx, "create", "a:1", descriptor);
  });

  test("blocks when there is no judgement", async () => {
    fs.writeFileSync(join(folder, "a"), "not a program");
    const all = combineVerifiers(new Map([["bindir", bindir()]]));
    expect(await failureOf(() => all.verify(ctx, "import", "a:1", descriptor))).toStartWith(
      `blocking import of a:1 with digest ${digest}: image verifier bindir returned error: failed to call verifier a`,
    );
  });
});
