import { describe, expect, test } from "bun:test";
import { descriptorJson, parseDescriptor } from "./descriptor.ts";
import { FaultError } from "./faults.ts";

const digest = `sha256:${"a".repeat(64)}`;

describe("parseDescriptor", () => {
  test("reads every field, and descriptorJson writes it back", () => {
    const json = {
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      digest,
      size: 3,
      urls: ["https://example.com/x"],
      annotations: { a: "b" },
      data: "YWJj",
      platform: { architecture: "arm", os: "linux", "os.version": "1", "os.features": ["f"], variant: "v7" },
      artifactType: "application/x",
    };
    const descriptor = parseDescriptor(JSON.parse(JSON.stringify(json)));
    expect(descriptorJson(descriptor)).toEqual(json);
    expect(Buffer.from(descriptor.data ?? []).toString()).toBe("abc");
    expect(descriptor.platform?.osFeatures).toEqual(["f"]);
  });

  test("keeps a label of any name", () => {
    const json = JSON.parse(`{"digest":"${digest}","size":1,"annotations":{"__proto__":"x"}}`);
    expect([...(parseDescriptor(json).annotations ?? [])]).toEqual([["__proto__", "x"]]);
  });

  test.each([
    [null],
    [[]],
    ["x"],
    [{}],
    [{ digest: "sha256:../../x", size: 1 }],
    [{ digest, size: -1 }],
    [{ digest, size: 1.5 }],
    [{ digest, size: 2 ** 60 }],
    [{ digest, size: "1" }],
    [{ digest, size: 1, mediaType: 5 }],
    [{ digest, size: 1, urls: "x" }],
    [{ digest, size: 1, urls: [1] }],
    [{ digest, size: 1, annotations: [] }],
    [{ digest, size: 1, annotations: { a: 1 } }],
    [{ digest, size: 1, platform: "linux" }],
  ])("refuses %j", (value) => {
    expect(() => parseDescriptor(value)).toThrow(FaultError);
  });
});
