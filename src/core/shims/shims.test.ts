import { describe, expect, test } from "bun:test";
import { chmod, mkdir, mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  BootstrapParamsSchema,
  BootstrapResultSchema,
  LogLevel,
} from "../../gen/containerd/runtime/bootstrap/v1/bootstrap_pb.ts";
import { failureText } from "../../lib/fault-testing.ts";
import { createLogger, type Logger, silentLogger } from "../../lib/log.ts";
import { createTimeLimits, defaultTimeLimits } from "../../plugin/index.ts";
import { createKernel } from "../../sys/index.ts";
import { bootstrapParams, parseBootstrap, socketPathOf } from "./bootstrap.ts";
import { createProcessShims } from "./index.ts";

const bytes = (text: string): Uint8Array => Buffer.from(text);

describe("parseBootstrap", () => {
  test("reads all three forms", () => {
    const address = "unix:///run/s/1";
    expect(parseBootstrap(bytes(`${address}\n`))).toEqual({ version: 2, protocol: "ttrpc", address });
    const grpc = { version: 3, protocol: "grpc", address: "/run/s/1" };
    expect(parseBootstrap(bytes(JSON.stringify(grpc)))).toEqual(grpc);
    const result = { version: 3, protocol: "ttrpc", address };
    expect(parseBootstrap(toBinary(BootstrapResultSchema, create(BootstrapResultSchema, result)))).toEqual(result);
  });

  test.each([
    ["", "unknown: the shim answered nothing to start"],
    ['{"version":4,"address":"a","protocol":"ttrpc"}', "notImplemented: unsupported shim version (4): not implemented"],
    [
      '{"version":1e99,"address":"a","protocol":"ttrpc"}',
      "notImplemented: unsupported shim version (1e+99): not implemented",
    ],
    ['{"version":3,"address":"a","protocol":"http"}', 'notImplemented: unexpected protocol: "http": not implemented'],
    ['{"version":2,"address":"a","protocol":"grpc"}', "notImplemented: containerd client supports only v3 GRPC"],
    ['{"version":"3"}', "unknown: the shim's answer to start can't be read: no version"],
    ["{", "unknown: the shim's answer to start can't be read"],
    ["[]\u0000\u0001", "unknown: the shim's answer to start can't be read"],
  ])("refuses %j", async (answer, words) => {
    expect(await failureText(() => Promise.resolve().then(() => parseBootstrap(bytes(answer))))).toStartWith(words);
  });
});

describe("socketPathOf", () => {
  const of = (address: string, protocol = "ttrpc"): string => socketPathOf({ version: 3, protocol, address });
  test("takes paths, and abstract names as old shims gave them", () => {
    expect(of("unix:///run/a")).toBe("/run/a");
    expect(of("/run/a", "grpc")).toBe("/run/a");
    expect(of("/containerd-shim/a")).toBe("\0/containerd-shim/a");
  });
  test.each(["vsock://3:1024", `unix:///${"a".repeat(200)}`, "unix://relative"])("refuses %j", (address) => {
    expect(() => of(address)).toThrow();
  });
});

describe("a shim's program", () => {
  /** What comes of a shim whose program is this script. */
  const start = async (script: string, log: Logger = silentLogger, timeouts = defaultTimeLimits): Promise<string> => {
    const folder = await mkdtemp("/tmp/lighter-shims-");
    const program = join(folder, "containerd-shim-x-v1");
    const bundle = join(folder, "bundle");
    try {
      await mkdir(bundle);
      await Bun.write(program, `#!/bin/sh\ncase "$*" in *delete) exit 1;; esac\n${script}\n`);
      await chmod(program, 0o755);
      const daemon = { grpcAddress: "/g", ttrpcAddress: "/t", publishBinary: "/p", socketDir: "/s", env: process.env };
      await using shims = createProcessShims({ daemon, kernel: createKernel(), timeouts, log });
      const shim = shims.byProgram({ namespace: "ns", id: "c1", bundle }, program, undefined);
      return await failureText(() => shim.connection());
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  };

  test("whose shim is silent has the time that is configured", async () => {
    const folder = await mkdtemp("/tmp/lighter-silent-");
    const socket = join(folder, "s.sock");
    using _silent = Bun.listen({ unix: socket, socket: { data: () => {} } });
    const short = createTimeLimits(new Map([["io.containerd.timeout.shim.load", 100]]));
    const answer = `{"version":3,"protocol":"ttrpc","address":"unix://${socket}"}`;
    try {
      const said = await start(`echo '${answer}'`, silentLogger, short);
      expect(said).toStartWith("deadlineExceeded: start failed: ");
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  test("that fails is an error with its words", async () => {
    expect(await start("echo out; echo err >&2; exit 3")).toBe("unknown: start failed: out\nerr: exit status 3");
  });

  test("that says too much is ended", async () => {
    expect(await start("while :; do echo 0123456789012345678901234567890123456789; done")).toContain("signal: SIGKILL");
  });

  test("that leaves its output open in the background is not waited for", async () => {
    expect(await start("sleep 3 & echo unix:///nosuch")).toContain('connect to "/nosuch"');
  });

  test("that takes options where others take parameters is asked again", async () => {
    const words = await start(
      'if [ -n "$(cat)" ]; then echo type with url c1: not found; exit 1; fi; echo second; exit 2',
    );
    expect(words).toBe("unknown: start failed: second: exit status 2");
  });

  test("is told who asks, and starts in the bundle", async () => {
    const words = await start(
      'cat >/dev/null; echo "$(basename $(pwd)) $TTRPC_ADDRESS $GRPC_ADDRESS $NAMESPACE $*"; exit 1',
    );
    expect(words).toBe(
      "unknown: start failed: bundle /t /g ns -namespace ns -address /g -publish-binary /p -id c1 start: exit status 1",
    );
  });

  test.each([
    ["trace", "-debug start"],
    ["debug", "-debug start"],
    ["info", "c1 start"],
  ] as const)("logs as much as a daemon that logs %s", async (level, flags) => {
    const log = createLogger({ level, format: "text", write: () => {} });
    expect(await start('cat >/dev/null; echo "$*"; exit 1', log)).toEndWith(`${flags}: exit status 1`);
  });

  test("that is still starting does not keep the daemon from ending", async () => {
    const folder = await mkdtemp("/tmp/lighter-shims-");
    const program = join(folder, "containerd-shim-x-v1");
    await Bun.write(program, '#!/bin/sh\ncase "$*" in *delete) exit 1;; esac\nexec sleep 3\n');
    await chmod(program, 0o755);
    const daemon = { grpcAddress: "/g", ttrpcAddress: "/t", publishBinary: "/p", socketDir: "/s", env: process.env };
    const shims = createProcessShims({ daemon, kernel: createKernel(), log: silentLogger });
    const shim = shims.byProgram({ namespace: "ns", id: "c1", bundle: folder }, program, undefined);
    const starting = shim.connection().catch(() => undefined);
    const before = performance.now();
    await shims[Symbol.asyncDispose]();
    expect(performance.now() - before).toBeLessThan(2_500);
    await starting;
    await rm(folder, { recursive: true, force: true });
  }, 15_000);

  test("whose socket nobody serves is cleaned up", async () => {
    expect(await start("cat >/dev/null; echo unix:///nosuch.sock")).toContain(
      'start failed: connect to "/nosuch.sock"',
    );
  });
});

describe("bootstrapParams", () => {
  test("tell whether the daemon logs all that it can", () => {
    const given = { id: "c", namespace: "n", grpcAddress: "/g", ttrpcAddress: "/t", binary: "/b", socketDir: "/s" };
    const levels = [true, false].map(
      (debug) => fromBinary(BootstrapParamsSchema, bootstrapParams({ ...given, debug, options: undefined })).logLevel,
    );
    expect(levels).toEqual([LogLevel.DEBUG, LogLevel.INFO]);
  });
});
