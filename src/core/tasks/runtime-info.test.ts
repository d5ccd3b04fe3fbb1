import { describe, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import { OptionsSchema } from "../../gen/containerd/runc/v1/oci_pb.ts";
import {
  type RuntimeInfo,
  RuntimeInfoSchema,
  type RuntimeRequest,
  RuntimeRequestSchema,
} from "../../gen/containerd/types/introspection_pb.ts";
import { createCtx } from "../../lib/ctx.ts";
import { failureText } from "../../lib/fault-testing.ts";
import { anyOf, anyOfJson, anyTo, anyToJson, ociTypeUrls } from "../../wire/any.ts";
import { createRuntimeInfo } from "./runtime-info.ts";

interface Fixture extends Disposable {
  readonly folder: string;
  program(name: string, script: string): void;
  ask(runtimePath: string, options?: RuntimeRequest["options"]): Promise<RuntimeInfo>;
}

function fixture(): Fixture {
  const folder = mkdtempSync("/tmp/lighter-info-");
  const source = createRuntimeInfo({ path: `${folder}:/usr/bin:/bin` });
  return {
    folder,
    program: (name, script) => {
      writeFileSync(join(folder, name), `#!/bin/sh\n${script}\n`);
      chmodSync(join(folder, name), 0o755);
    },
    ask: async (runtimePath, options) => {
      const request = create(RuntimeRequestSchema, { runtimePath });
      request.options = options;
      return anyTo(await source(createCtx(), anyOf(RuntimeRequestSchema, request)), RuntimeInfoSchema);
    },
    [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }),
  };
}

const options = (binaryName: string) => anyOf(OptionsSchema, create(OptionsSchema, { binaryName }));

describe("RuntimeInfo", () => {
  test("of the shared host is what its OCI runtime can do", async () => {
    using at = fixture();
    at.program("odd-runc", `[ "$1" = features ] && echo '{"ociVersionMin":"1.0.0","linux":{}}'`);
    const info = await at.ask("io.containerd.runc.v2", options("odd-runc"));
    expect(info).toMatchObject({ name: "io.containerd.runc.v2", options: options("odd-runc") });
    expect(info.features?.typeUrl).toBe(ociTypeUrls.features);
    expect(anyToJson(info.features!)).toEqual({ ociVersionMin: "1.0.0", linux: {} });
    at.program("mute", "exit 1");
    expect((await at.ask("io.containerd.runc.v2", options("mute"))).features).toBeUndefined();
  });

  test("of another runtime is what its shim says, which gets the options", async () => {
    using at = fixture();
    const told = create(RuntimeInfoSchema, { name: "x", annotations: { a: "b" } });
    writeFileSync(join(at.folder, "told"), toBinary(RuntimeInfoSchema, told));
    at.program("containerd-shim-x-v1", `[ "$1" = -info ] && cat > ${at.folder}/given && cat ${at.folder}/told`);
    expect(await at.ask("io.some.x.v1", anyOfJson("odd", {}))).toEqual(told);
    expect((await Bun.file(join(at.folder, "given")).text()).includes("odd")).toBe(true);
  });

  test("refuses with containerd's words", async () => {
    using at = fixture();
    at.program("containerd-shim-bad-v1", "echo oops >&2; exit 3");
    at.program("containerd-shim-odd-v1", "echo zzz");
    const bad = join(at.folder, "containerd-shim-bad-v1");
    const source = createRuntimeInfo({ path: at.folder });
    const texts = [
      () => at.ask(""),
      () => at.ask("a.none.v1"),
      () => at.ask("a.bad.v1"),
      () => at.ask("a.odd.v1"),
      () => at.ask("io.containerd.runc.v2", options("/none")),
      () => source(createCtx(), anyOfJson("other", {})),
    ].map(failureText);
    expect(await Promise.all(texts)).toEqual([
      "unknown: failed to resolve runtime path: no runtime name",
      'unknown: failed to resolve runtime path: runtime "a.none.v1" binary not installed "containerd-shim-none-v1": file does not exist',
      `unknown: failed to run [${bad} -info]: exit status 3 (stderr: "oops\\n")`,
      expect.stringMatching(
        /^unknown: failed to unmarshal stdout from \[.*-odd-v1 -info\] into \*types.RuntimeInfo: /,
      ) as string,
      'unknown: failed to look up the path of "/none": exec: "/none": executable file not found in $PATH',
      "notImplemented: unknown request type other: not implemented",
    ]);
  });
});
