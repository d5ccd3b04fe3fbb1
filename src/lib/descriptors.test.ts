import { describe, expect, test } from "bun:test";
import { type AnyDesc, create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { ContainerSchema } from "../gen/containerd/services/containers/v1/containers_pb.ts";

const folder = `${import.meta.dir}/../gen`;

/** Names and kinds as they are told before anything is made, and as the descriptors have them. */
async function descriptors(): Promise<{ told: string; made: string }[]> {
  const found: { told: string; made: string }[] = [];
  for (const file of new Bun.Glob("**/*_pb.ts").scanSync(folder)) {
    const exported = Object.values((await import(`${folder}/${file}`)) as Record<string, AnyDesc | object>);
    for (const desc of exported) {
      if (!("typeName" in desc)) continue;
      const told = `${desc.kind} ${desc.typeName}`;
      // The file is known to the made one alone.
      void desc.file.name;
      found.push({ told, made: `${desc.kind} ${desc.typeName}` });
    }
  }
  return found;
}

describe("generated descriptors", () => {
  test("have the names that were told before they were made", async () => {
    const found = await descriptors();
    expect(found.length).toBeGreaterThan(350);
    expect(found.filter(({ told, made }) => told !== made)).toEqual([]);
  });

  test("are whole once something of them was asked for", () => {
    const fields = ContainerSchema.fields.map((field) => field.localName);
    expect(fields.slice(0, 3)).toEqual(["id", "labels", "image"]);
    expect(Object.keys(ContainerSchema)).toContain("fields");
    expect(String(ContainerSchema)).toBe("message containerd.services.containers.v1.Container");
    const container = create(ContainerSchema, { id: "a", runtime: { name: "r" }, createdAt: { seconds: 5n } });
    expect(fromBinary(ContainerSchema, toBinary(ContainerSchema, container))).toEqual(container);
  });
});
