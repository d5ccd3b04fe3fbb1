import { describe, expect } from "bun:test";
import { Containers } from "../../src/gen/containerd/services/containers/v1/containers_pb.ts";
import { Version } from "../../src/gen/containerd/services/version/v1/version_pb.ts";
import { connectGrpc } from "../../src/wire/grpc/index.ts";
import { lighterOk } from "../cli/support.ts";
import {
  busyboxImage,
  createWorkspace,
  type Daemon,
  daemonNeeds,
  importBusybox,
  startLighter,
  testNeeding,
  waitFor,
} from "../support/index.ts";
import {
  type OtlpReceiver,
  type ReceivedSpan,
  startOtlpGrpcReceiver,
  startOtlpReceiver,
} from "../support/otlp-receiver.ts";
import { startRegistry } from "../support/registry.ts";

const traceId = "0af7651916cd43dd8448eb211c80319c";
const callerSpan = "b7ad6b7169203331";

/** How the shim host calls itself. */
const host = "containerd-shim-lighter-v2";

/** Variables that others set for these tests would change what they see. */
const quiet = Object.fromEntries(
  Object.keys(process.env).flatMap((name) => (name.startsWith("OTEL_") ? [[name, undefined]] : [])),
);

function startTraced(receiver: OtlpReceiver, more: Readonly<Record<string, string>> = {}): Promise<Daemon> {
  const env = { ...quiet, OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint, OTEL_BSP_SCHEDULE_DELAY: "50", ...more };
  return startLighter({ logLevel: "info", env });
}

function received(
  receiver: Pick<OtlpReceiver, "spans">,
  name: string,
  of: (span: ReceivedSpan) => boolean = () => true,
) {
  return waitFor(`the span ${name}`, () => receiver.spans.find((span) => span.name === name && of(span)), 30_000);
}

describe("traces", () => {
  testNeeding(
    [...daemonNeeds(), "ours"],
    "of calls go on from the caller's, and are sent at the end, too",
    async () => {
      using receiver = startOtlpReceiver();
      await using daemon = await startTraced(receiver, {
        OTEL_SERVICE_NAME: "a-barge",
        OTEL_BSP_SCHEDULE_DELAY: "600000",
      });
      {
        await using connection = await connectGrpc({ path: daemon.address });
        const metadata = new Map([["traceparent", `00-${traceId}-${callerSpan}-01`]]);
        await connection.client(Version).version({}, { metadata });
        const missing = connection.client(Containers, { namespace: "testing" }).get({ id: "none" }, { metadata });
        await missing.catch(() => undefined);
      }
      expect(receiver.spans).toEqual([]);
      await daemon.stop();
      const call = await received(
        receiver,
        "containerd.services.version.v1.Version/Version",
        (span) => span.traceId === traceId,
      );
      expect(call).toMatchObject({ parentId: callerSpan, kind: 2, status: 0, service: "a-barge" });
      expect(call.nanoseconds).toBeGreaterThan(0n);
      expect(Object.fromEntries(call.attributes)).toMatchObject({
        "rpc.system": "grpc",
        "rpc.service": "containerd.services.version.v1.Version",
        "rpc.method": "Version",
        "rpc.grpc.status_code": 0,
      });
      const failed = await received(receiver, "containerd.services.containers.v1.Containers/Get");
      expect(failed.attributes.get("rpc.grpc.status_code")).toBe(5);
      expect(failed.attributes.get("containerd.namespace")).toBe("testing");
      expect(failed.status).toBe(0); // the caller's mistake is no failure of the server's
      expect(receiver.complaints).toEqual([]);
    },
  );

  testNeeding([...daemonNeeds(), "ours"], "of tasks tell what their shims were asked for", async () => {
    using receiver = startOtlpReceiver();
    await using daemon = await startTraced(receiver);
    await importBusybox(daemon);
    await daemon.ctrOk(["run", "--rm", "--null-io", ...daemon.runtimeFlags, busyboxImage, "c1", "true"]);
    for (const [name, method] of [
      ["shim create", "Create"],
      ["shim start", "Start"],
      ["shim delete", "Delete"],
    ] as const) {
      const span = await received(receiver, name);
      const call = await received(receiver, `containerd.services.tasks.v1.Tasks/${method}`);
      expect([name, span.parentId, span.traceId]).toEqual([name, call.spanId, call.traceId]);
      expect(span.attributes.get("container.id")).toBe("c1");
    }
  });

  testNeeding([...daemonNeeds(), "ours"], "go on in the shim host, with what its runtime did", async () => {
    using receiver = startOtlpReceiver();
    await using daemon = await startTraced(receiver);
    await importBusybox(daemon);
    await daemon.ctrOk(["run", "-d", "--null-io", ...daemon.runtimeFlags, busyboxImage, "c1", "sleep", "1000"]);
    await daemon.ctrOk(["task", "exec", "--exec-id", "e1", "c1", "true"]);
    await daemon.ctrOk(["task", "rm", "-f", "c1"]);
    for (const [verb, method, what] of [
      ["create", "Create", "create"],
      ["start", "Start", "start"],
      ["start", "Start", "exec"],
      ["delete", "Delete", "delete"],
    ] as const) {
      const step = await received(receiver, `runtime ${what}`);
      const call = await received(
        receiver,
        `containerd.task.v3.Task/${method}`,
        ({ spanId }) => spanId === step.parentId,
      );
      const asked = await received(receiver, `shim ${verb}`, ({ spanId }) => spanId === call.parentId);
      expect([step.traceId, call.traceId, call.kind]).toEqual([asked.traceId, asked.traceId, 2]);
      expect([step.service, call.service, asked.service]).toEqual([host, host, "containerd"]);
      expect([step.attributes.get("container.id"), call.attributes.get("rpc.system")]).toEqual(["c1", "ttrpc"]);
    }
    const killed = await received(receiver, "containerd.task.v3.Task/Kill");
    await received(receiver, "containerd.services.tasks.v1.Tasks/Kill", ({ spanId }) => spanId === killed.parentId);
    // What belongs to no trace begins none there: the daemon's own questions, and waits that many share.
    expect(receiver.spans.filter(({ service, parentId }) => service === host && parentId === "")).toEqual([]);
    expect(receiver.complaints).toEqual([]);
  });

  testNeeding(
    [...daemonNeeds(), "ours"],
    "are sent over gRPC, by daemon and host, where a variable says so",
    async () => {
      await using receiver = await startOtlpGrpcReceiver();
      const env = {
        ...quiet,
        OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint,
        OTEL_EXPORTER_OTLP_PROTOCOL: "grpc",
        OTEL_EXPORTER_OTLP_HEADERS: "api-key=secret",
        OTEL_BSP_SCHEDULE_DELAY: "50",
      };
      await using daemon = await startLighter({ logLevel: "info", env });
      await importBusybox(daemon);
      await daemon.ctrOk(["run", "--rm", "--null-io", ...daemon.runtimeFlags, busyboxImage, "c1", "true"]);
      const step = await received(receiver, "runtime create");
      const call = await received(receiver, "containerd.task.v3.Task/Create", ({ spanId }) => spanId === step.parentId);
      const asked = await received(receiver, "shim create", ({ spanId }) => spanId === call.parentId);
      await received(receiver, "containerd.services.tasks.v1.Tasks/Create", ({ spanId }) => spanId === asked.parentId);
      expect(receiver.headers.every((headers) => headers.get("api-key") === "secret")).toBe(true);
      expect(await daemon.logs()).not.toContain("level=warning msg=tracing");
    },
  );

  testNeeding([...daemonNeeds(), "ours", "registry"], "of a pull tell of what was fetched and unpacked", async () => {
    using receiver = startOtlpReceiver();
    await using workspace = await createWorkspace();
    await using registry = await startRegistry({ folder: workspace.folder });
    await using daemon = await startTraced(receiver);
    await importBusybox(daemon);
    const reference = `${registry.host}/traced/busybox:1`;
    await lighterOk(daemon, ["push", busyboxImage, reference]);
    await lighterOk(daemon, ["image", "rm", busyboxImage]);
    await lighterOk(daemon, ["system", "gc"]);
    await lighterOk(daemon, ["pull", reference]);
    const unpacked = await received(receiver, "unpack layer");
    const pull = await received(
      receiver,
      "containerd.services.transfer.v1.Transfer/Transfer",
      ({ traceId: one }) => one === unpacked.traceId,
    );
    const resolved = await received(receiver, "resolve", (span) => span.traceId === pull.traceId);
    expect([resolved.parentId, unpacked.parentId]).toEqual([pull.spanId, pull.spanId]);
    const fetched = receiver.spans.filter(({ name, traceId: one }) => name === "fetch" && one === pull.traceId);
    expect(fetched.length).toBeGreaterThanOrEqual(3); // manifest, config, layer
    expect(fetched.every(({ attributes }) => String(attributes.get("digest")).startsWith("sha256:"))).toBe(true);
  });

  testNeeding([...daemonNeeds(), "ours"], "are sent where containerd's own settings say", async () => {
    using receiver = startOtlpReceiver();
    const config = `[plugins."io.containerd.tracing.processor.v1.otlp"]
endpoint = "${receiver.endpoint}"
[plugins."io.containerd.internal.v1.tracing"]
service_name = "by-config"
sampling_ratio = 1.0`;
    await using daemon = await startLighter({
      logLevel: "info",
      config,
      env: { ...quiet, OTEL_BSP_SCHEDULE_DELAY: "50" },
    });
    const span = await received(receiver, "containerd.services.version.v1.Version/Version");
    expect([span.service, daemon.kind]).toEqual(["by-config", "lighter"]);
  });

  testNeeding([...daemonNeeds(), "ours"], "that nobody takes hold nothing up, and are told of in the log", async () => {
    const listener = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => {} } });
    const endpoint = `http://127.0.0.1:${listener.port}`;
    listener.stop(true);
    const env = {
      ...quiet,
      OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
      OTEL_BSP_SCHEDULE_DELAY: "20",
      OTEL_EXPORTER_OTLP_TIMEOUT: "200",
    };
    await using daemon = await startLighter({ logLevel: "info", env });
    await daemon.ctrOk(["version"]);
    await waitFor("the word of it", async () => /level=warning msg="?tracing/.test(await daemon.logs()), 30_000);
    await daemon.stop();
  });
});
