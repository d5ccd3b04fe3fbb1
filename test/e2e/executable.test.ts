import { afterAll, beforeAll, describe, expect } from "bun:test";
import fs from "node:fs/promises";
import path from "node:path";
import { Mounts } from "../../src/gen/containerd/services/mounts/v1/mounts_pb.ts";
import { connectGrpc } from "../../src/wire/grpc/index.ts";
import {
  busyboxImage,
  createWorkspace,
  type Daemon,
  daemonNeeds,
  findProcesses,
  importBusybox,
  run,
  runOk,
  startLighter,
  testNeeding,
  type Workspace,
  waitFor,
} from "../support/index.ts";
import { startOtlpGrpcReceiver, startOtlpReceiver } from "../support/otlp-receiver.ts";

// What people install is one executable, which is the daemon, the shim host, the workers and the command.
const top = path.join(import.meta.dir, "../..");

describe("the one executable", () => {
  let built: Workspace | undefined;
  beforeAll(async () => {
    built = await createWorkspace();
    await runOk(["sh", path.join(top, "scripts/build.sh"), built.folder], { timeoutMs: 60_000 });
  }, 90_000);
  afterAll(async () => {
    await built?.[Symbol.asyncDispose]();
  });
  const program = (name: string): string => path.join(built?.folder ?? "", name);
  const inEnvironment = async (
    body: (daemon: Daemon) => Promise<void>,
    protocol: "http/protobuf" | "grpc" = "http/protobuf",
  ): Promise<void> => {
    await using stack = new AsyncDisposableStack();
    const receiver = stack.use(protocol === "grpc" ? await startOtlpGrpcReceiver() : startOtlpReceiver());
    await using daemon = await startLighter({
      program: program("lighterd"),
      config: '[metrics]\naddress = "127.0.0.1:0"',
      env: {
        OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint,
        OTEL_EXPORTER_OTLP_PROTOCOL: protocol,
        OTEL_BSP_SCHEDULE_DELAY: "50",
      },
    });
    await importBusybox(daemon);
    await body(daemon);
    // One of the daemon's, and one of the shim host's.
    for (const span of ["shim create", "runtime exec"]) {
      await waitFor(`the span ${span}`, () => receiver.spans.some(({ name }) => name === span));
    }
  };

  testNeeding(daemonNeeds(), "is daemon, shim host, worker and command", () =>
    inEnvironment(async (daemon) => {
      const env = {
        CONTAINERD_ADDRESS: daemon.address,
        CONTAINERD_NAMESPACE: daemon.namespace,
        LIGHTER_DATA: path.join(daemon.workspace.folder, "data"),
        LIGHTER_RUN: path.join(daemon.workspace.folder, "io"),
      };
      const lighter = (...args: readonly string[]) => run([program("lighter"), ...args], { env });
      const ran = await lighter("run", "--rm", busyboxImage, "sh", "-c", "cat /etc/greeting; exit 7");
      expect(ran).toMatchObject({ code: 7, stderr: "" });
      expect(ran.stdout).not.toBe("");
      expect(await lighter("run", "-d", "--name", "sleeper", busyboxImage, "sleep", "1000")).toMatchObject({ code: 0 });

      // What a daemon loads only where it is told to is there, too.
      const [, address] = /msg="serving metrics".* address=(\S+)/.exec(await daemon.logs()) ?? [];
      expect(await (await fetch(`http://${address}/v1/metrics`)).text()).toContain('container_id="sleeper"');

      const host = await hostOf(daemon);
      expect(await fs.readlink(`/proc/${host}/exe`)).toBe(program("lighter"));

      await daemon.kill();
      await daemon.start();
      expect(await lighter("exec", "sleeper", "echo", "aboard")).toMatchObject({ code: 0, stdout: "aboard\n" });
      expect(await lighter("rm", "-f", "sleeper")).toMatchObject({ code: 0 });
    }),
  );

  testNeeding(daemonNeeds(), "is each of the workers: copies, unpacks, compares, packs anew, mounts", () =>
    inEnvironment(async (daemon) => {
      const env = { CONTAINERD_ADDRESS: daemon.address, CONTAINERD_NAMESPACE: daemon.namespace };
      const lighter = async (...args: readonly string[]): Promise<string> => {
        const { code, stdout, stderr } = await run([program("lighter"), ...args], { env });
        expect(`${args.join(" ")}: ${code} ${code === 0 ? "" : stderr}`).toBe(`${args.join(" ")}: 0 `);
        return stdout;
      };
      const native = ["--snapshotter", "native", ...daemon.runtimeFlags];
      await daemon.ctrOk(["run", "-d", "--null-io", ...native, busyboxImage, "c1", "sleep", "1000"]);
      const file = path.join(daemon.workspace.folder, "manifest");
      await fs.writeFile(file, "forty crates");
      await lighter("cp", "--quiet", file, "c1:/manifest");
      expect(await daemon.ctrOk(["tasks", "exec", "--exec-id", "e1", "c1", "cat", "/manifest"])).toBe("forty crates");
      await lighter("cp", "--quiet", "c1:/manifest", `${file}.back`);
      expect(await fs.readFile(`${file}.back`, "utf8")).toBe("forty crates");
      expect(await daemon.ctrOk(["snapshots", "--snapshotter", "native", "diff", "c1"])).not.toBe("");
      await lighter("image", "convert", "--uncompress", busyboxImage, "lighter.test/plain:1");
      await using connection = await connectGrpc({ path: daemon.address });
      const mounts = connection.client(Mounts, { namespace: daemon.namespace });
      const bind = [{ type: "bind", source: daemon.workspace.folder, options: ["rbind"] }];
      const { info } = await mounts.activate({ name: "m", mounts: bind, temporary: true });
      expect(await fs.readFile(path.join(info?.active[0]?.mountPoint ?? "", "manifest"), "utf8")).toBe("forty crates");
      await mounts.deactivate({ name: "m" });
      await daemon.ctrOk(["tasks", "rm", "-f", "c1"]);
      await daemon.ctrOk(["containers", "rm", "c1"]);
    }, "grpc"),
  );

  testNeeding(daemonNeeds(), "outlives a shim host that dies, which a new one of it takes the place of", () =>
    inEnvironment(async (daemon) => {
      await daemon.ctrOk(["run", "-d", "--null-io", ...daemon.runtimeFlags, busyboxImage, "c1", "sleep", "1000"]);
      process.kill(await hostOf(daemon), "SIGKILL");
      const ran = await daemon.ctr(["tasks", "exec", "--exec-id", "e1", "c1", "echo", "aboard"]);
      expect(ran).toMatchObject({ code: 0, stdout: "aboard\n" });
      await daemon.ctrOk(["tasks", "kill", "-s", "SIGKILL", "c1"]);
    }),
  );
});

/** The process that serves a daemon's containers. */
async function hostOf(daemon: Daemon): Promise<number> {
  const hosts = (await findProcesses(daemon.workspace.token)).filter((line) => / host --socket /.test(line));
  expect(hosts).toHaveLength(1);
  return Number.parseInt(hosts[0] ?? "", 10);
}
