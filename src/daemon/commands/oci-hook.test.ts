import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

const launcher = resolve(import.meta.dir, "../../../bin/lighterd");
const bundle = mkdtempSync("/tmp/lighter-hook-");
writeFileSync(join(bundle, "config.json"), '{"root":{"path":"rootfs"}}');
afterAll(() => rmSync(bundle, { recursive: true }));

const state = JSON.stringify({
  ociVersion: "1.2.1",
  id: "c1",
  status: "created",
  pid: 7,
  bundle,
  annotations: { a: "b" },
});

async function hook(args: readonly string[], input = state): Promise<readonly [number, string, string]> {
  const child = Bun.spawn([launcher, "oci-hook", ...args], {
    env: { ...process.env, WHO: "{{id}}" },
    stdio: [Buffer.from(input), "pipe", "pipe"],
  });
  return await Promise.all([child.exited, child.stdout.text(), child.stderr.text()]);
}

describe("lighterd oci-hook", () => {
  test("runs a program with what the state says, and ends as it does", async () => {
    const script = 'echo "$@ $WHO"; exit 5';
    const words = [
      "{{id}}",
      "{{ bundle }}",
      "{{rootfs}}",
      "--pid={{pid}}",
      "-status",
      '{{annotation "a"}}',
      "{{status}}",
    ];
    expect(await hook(["--", "sh", "-c", script, "sh", ...words])).toEqual([
      5,
      `c1 ${bundle} ${bundle}/rootfs --pid=7 -status b created c1\n`,
      "",
    ]);
  });

  test.each([
    [["--", "true", "{{nope}}"], state, '"{{nope}}" is not known'],
    [["--", "true", "{{pid"], state, '"{{" is not known'],
    [[], state, "no program to run"],
    [["--", "true"], "{", "the state on the standard input"],
    [["--", "/no/such"], state, "/no/such"],
  ])("refuses %j", async (args, input, words) => {
    const [code, , text] = await hook(args, input);
    expect(code).toBe(1);
    expect(text).toContain(words);
  });
});
