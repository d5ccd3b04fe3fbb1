import { describe, expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import { OptionsSchema } from "../../src/gen/containerd/runc/v1/oci_pb.ts";
import { Introspection } from "../../src/gen/containerd/services/introspection/v1/introspection_pb.ts";
import { RuntimeInfoSchema, RuntimeRequestSchema } from "../../src/gen/containerd/types/introspection_pb.ts";
import { failureText } from "../../src/lib/fault-testing.ts";
import { anyOf, anyTo, anyToJson } from "../../src/wire/any.ts";
import { connectGrpc } from "../../src/wire/grpc/index.ts";
import { missing, startLighter } from "../support/index.ts";

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
    expect((await client.pluginInfo(task)).extra).toBeUndefined();
    expect(await failureText(() => client.pluginInfo({ ...task, id: "none" }))).toBe(
      "notFound: plugin io.containerd.runtime.v2.none not found: not found",
    );
    const version = { type: "io.containerd.grpc.v1", id: "version" };
    expect(await failureText(() => client.pluginInfo({ ...version, options }))).toBe(
      "notImplemented: plugin does not provided extra information: not implemented",
    );
  }, 60_000);
});
