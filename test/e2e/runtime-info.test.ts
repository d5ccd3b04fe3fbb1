import { describe, expect, test } from "bun:test";
import { statfsSync } from "node:fs";
import { create } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { OptionsSchema } from "../../src/gen/containerd/runc/v1/oci_pb.ts";
import { Containers } from "../../src/gen/containerd/services/containers/v1/containers_pb.ts";
import { Introspection } from "../../src/gen/containerd/services/introspection/v1/introspection_pb.ts";
import { Tasks } from "../../src/gen/containerd/services/tasks/v1/tasks_pb.ts";
import { RuntimeInfoSchema, RuntimeRequestSchema } from "../../src/gen/containerd/types/introspection_pb.ts";
import { failureText } from "../../src/lib/fault-testing.ts";
import { anyOf, anyOfJson, anyTo, anyToJson, ociTypeUrls } from "../../src/wire/any.ts";
import { connectGrpc } from "../../src/wire/grpc/index.ts";
import { missing, startLighter } from "../support/index.ts";

const emptySpec = anyOfJson(ociTypeUrls.spec, { ociVersion: "1.0.2" });
const lacks = missing(["lighterd", "runc", "root"]);

describe.skipIf(lacks !== undefined)(`runtime info${lacks === undefined ? "" : ` (${lacks})`}`, () => {
  test("introspection tells what runc can do, and refuses where containerd does", async () => {
    await using daemon = await startLighter();
    await using connection = await connectGrpc({ path: daemon.address });
    const client = connection.client(Introspection);
    const task = { type: "io.containerd.runtime.v2", id: "task" };
    const runc = anyOf(OptionsSchema, create(OptionsSchema, { binaryName: "runc" }));
    const request = create(RuntimeRequestSchema, { runtimePath: "io.containerd.runc.v2", options: runc });
    const options = anyOf(RuntimeRequestSchema, request);
    const { plugin, extra } = await client.pluginInfo({ ...task, options });
    expect(plugin).toMatchObject(task);
    const info = anyTo(extra!, RuntimeInfoSchema);
    expect([info.name, info.options]).toEqual(["io.containerd.runc.v2", runc]);
    expect(anyToJson(info.features!)).toMatchObject({
      linux: { namespaces: expect.arrayContaining(["pid"]) as unknown },
    });
    const plain = create(RuntimeRequestSchema, {
      runtimePath: "io.containerd.runc.v2",
      options: anyOf(OptionsSchema, create(OptionsSchema)),
    });
    const told = await client.pluginInfo({ ...task, options: anyOf(RuntimeRequestSchema, plain) });
    expect(anyTo(told.extra!, RuntimeInfoSchema).options?.typeUrl).toBe("containerd.runc.v1.Options");
    expect((await client.pluginInfo(task)).extra).toBeUndefined();
    expect(await failureText(() => client.pluginInfo({ ...task, id: "none" }))).toBe(
      "notFound: plugin io.containerd.runtime.v2.none not found: not found",
    );
    const version = { type: "io.containerd.grpc.v1", id: "version" };
    expect(await failureText(() => client.pluginInfo({ ...version, options }))).toBe(
      "notImplemented: plugin does not provided extra information: not implemented",
    );
  }, 60_000);

  test("introspection tells what is deprecated, once it was met", async () => {
    await using daemon = await startLighter();
    await using connection = await connectGrpc({ path: daemon.address });
    const client = connection.client(Introspection);
    const cgroups = statfsSync("/sys/fs/cgroup").type === 0x63677270 ? [] : ["cgroup-v1"];
    const told = async () => (await client.server({})).deprecations;
    const ids = async () => (await told()).map(({ id }) => id.replace("io.containerd.deprecation/", ""));
    expect(await ids()).toEqual(cgroups);
    const namespace = { namespace: daemon.namespace };
    const runtime = { name: "io.containerd.runc.v2" };
    await connection.client(Containers, namespace).create({ container: { id: "old", runtime, spec: emptySpec } });
    const old = create(OptionsSchema, { taskApiAddress: "unix:///no/such/socket", taskApiVersion: 3 });
    const creation = { containerId: "old", options: anyOf(OptionsSchema, old) };
    await failureText(() => connection.client(Tasks, namespace).create(creation));
    expect(await ids()).toEqual([...cgroups, "runc-options-task-api-address", "runc-options-task-api-version"]);
    const warning = (await told()).at(-1)!;
    expect(warning.message).toStartWith("The `task_api_version` field in runc options is deprecated");
    expect(timestampMs(warning.lastOccurrence!)).toBeGreaterThan(Date.now() - 60_000);
  }, 60_000);
});
