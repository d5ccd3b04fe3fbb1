import { describe, expect, test } from "bun:test";
import type { Descriptor } from "../../lib/descriptor.ts";
import { digestOf } from "../../lib/digest.ts";
import { Instant } from "../../lib/instant.ts";
import { imageNameAnnotation, refNameAnnotation } from "../oci/index.ts";
import { imageNames } from "./image-references.ts";
import type { ExtraReference, StoreEndpoint } from "./transfer.ts";

const index: Descriptor = { mediaType: "index", digest: digestOf("index"), sizeBytes: 5 };
const manifest: Descriptor = { mediaType: "manifest", digest: digestOf("manifest"), sizeBytes: 8 };
const now = Instant.ofMs(0);

/** What an archive's one image says of its name: whole, or its tag alone. */
const named = (name: string): Descriptor => ({ ...manifest, annotations: new Map([[imageNameAnnotation, name]]) });
const tagged = (tag: string): Descriptor => ({ ...manifest, annotations: new Map([[refNameAnnotation, tag]]) });

function storeOf(name: string, ...extraReferences: ExtraReference[]): StoreEndpoint {
  const none = { platforms: [], allMetadata: false, manifestLimit: 0, unpacks: [], labels: new Map<string, string>() };
  return { kind: "store", name, extraReferences, ...none };
}

const prefix = (name: string, more: Partial<ExtraReference> = {}): ExtraReference => {
  const plain = { isPrefix: true, allowOverwrite: false, addDigest: false, skipNamedDigest: false };
  return { name, ...plain, ...more };
};
const digests = { addDigest: true };
const skipNamed = { addDigest: true, skipNamedDigest: true };
const overwrite = { addDigest: true, allowOverwrite: true };

/** Every name that an import makes: of the archive's index, then of the image in it. */
function namesOf(store: StoreEndpoint, image: Descriptor): string[] {
  const of = (descriptor: Descriptor, fromArchive: boolean): string[] => {
    try {
      return imageNames(store, descriptor, fromArchive, now).map(({ name }) => name);
    } catch {
      // It has none.
      return [];
    }
  };
  const short = (name: string): string => name.replace(index.digest, "<index>").replace(manifest.digest, "<manifest>");
  return [...of(index, false), ...of(image, true)].map(short);
}

describe("imageNames", () => {
  // The cases of containerd's client suite, as they are on its main branch. Up to 2.2 an index got no name by digest, and
  // that suite counts all names: what it wants in five of these can't be had together with what main wants.
  test.each([
    [
      "Basic",
      storeOf("", prefix("unused", { allowOverwrite: true })),
      named("r.test/basic:latest"),
      ["r.test/basic:latest"],
    ],
    ["IndexRef", storeOf("r.test/index:latest"), manifest, ["r.test/index:latest"]],
    [
      "AllRefs",
      storeOf("r.test/all:index", prefix("r.test/all")),
      named("r.test/all:1"),
      ["r.test/all:index", "r.test/all:1"],
    ],
    [
      "DigestRefs",
      storeOf("r.test/all:index", prefix("r.test/all", digests)),
      named("r.test/all:1"),
      ["r.test/all:index", "r.test/all@<index>", "r.test/all:1", "r.test/all@<manifest>"],
    ],
    [
      "DigestRefsSkipNamed",
      storeOf("r.test/all:index", prefix("r.test/all", skipNamed)),
      named("r.test/all:1"),
      ["r.test/all:index", "r.test/all@<index>", "r.test/all:1"],
    ],
    ["DigestOnly", storeOf("", prefix("imported", skipNamed)), manifest, ["imported@<index>", "imported@<manifest>"]],
    [
      "OverwriteDigestRefs",
      storeOf("r.test/all:index", prefix("some", overwrite)),
      named("r.test/all:1"),
      ["r.test/all:index", "some@<index>", "r.test/all:1", "some@<manifest>"],
    ],
    ["TagOnlyRef", storeOf("", prefix("r.test/mine")), tagged("thebest"), ["r.test/mine:thebest"]],
    [
      "TagOnlyOverwriteDigestRefs",
      storeOf("r.test/all:index", prefix("r.test/base", overwrite)),
      tagged("latest"),
      ["r.test/all:index", "r.test/base@<index>", "r.test/base:latest", "r.test/base@<manifest>"],
    ],
  ])("%s", (_name, store, image, expected) => {
    expect(namesOf(store, image)).toEqual(expected);
  });
});
