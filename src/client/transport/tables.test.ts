import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import { CreateContainerRequestSchema } from "../../gen/containerd/services/containers/v1/containers_pb.ts";
import { decodeMessage, encodeMessage } from "./codec.ts";
import { tablesSource } from "./generate.ts";
import { messageTable, serviceTable } from "./tables.ts";

describe("tables.ts", () => {
  test("is what generate.ts makes of the descriptors", async () => {
    const folder = mkdtempSync(join(tmpdir(), "lighter-tables-"));
    using _folder = { [Symbol.dispose]: () => rmSync(folder, { recursive: true }) };
    await Bun.write(join(folder, "tables.ts"), tablesSource());
    const made = await import(join(folder, "tables.ts"));
    expect(made.messageTable).toEqual(messageTable);
    expect(made.serviceTable).toEqual(serviceTable);
  });
});

describe("encodeMessage", () => {
  const type = "containerd.services.containers.v1.CreateContainerRequest";
  const message = {
    container: {
      id: "c1",
      labels: { a: "b", __proto: "x" },
      runtime: { name: "r", options: { typeUrl: "t", value: new Uint8Array([1, 2, 3]) } },
      createdAt: { seconds: -5n, nanos: 7 },
    },
  };

  test("writes what the protobuf library writes", () => {
    const wanted = toBinary(CreateContainerRequestSchema, create(CreateContainerRequestSchema, message));
    expect(Buffer.from(encodeMessage(type, message)).equals(wanted)).toBe(true);
  });

  test("is undone by decodeMessage", () => {
    expect(decodeMessage(type, encodeMessage(type, message))).toMatchObject(message);
  });

  test("answers internal for bytes that end too early", () => {
    const bytes = encodeMessage(type, message);
    for (let cut = 1; cut < bytes.length; cut++) {
      try {
        decodeMessage(type, bytes.subarray(0, cut));
      } catch (error) {
        expect(error).toHaveProperty("kind", "internal");
      }
    }
  });
});
