import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import type { DescriptorSchema } from "../../../src/gen/containerd/types/descriptor_pb.ts";
import { anyOfJson, ociTypeUrls } from "../../../src/wire/any.ts";

/** A label of 4097 bytes, one more than there may be. */
export const tooLongLabel: Record<string, string> = { k: "v".repeat(4096) };
/** The longest label that there may be. */
export const longestLabel: Record<string, string> = { k: "v".repeat(4095) };
/** Keeps content and snapshots from the collector. */
export const rooted: Record<string, string> = { "containerd.io/gc.root": "1" };

export const bytes = (text: string): Uint8Array<ArrayBuffer> => new Uint8Array(Buffer.from(text));
export const digestOf = (data: string | Uint8Array): string =>
  `sha256:${new Bun.CryptoHasher("sha256").update(data).digest("hex")}`;

/** The digest of nothing that is stored. */
export const noDigest: string = digestOf("none of these");

export const emptySpec: Any = anyOfJson(ociTypeUrls.spec, { ociVersion: "1.0.2" });

export const mediaTypes = {
  index: "application/vnd.oci.image.index.v1+json",
  layer: "application/vnd.oci.image.layer.v1.tar",
  gzipLayer: "application/vnd.oci.image.layer.v1.tar+gzip",
} as const;

export const target: MessageInitShape<typeof DescriptorSchema> = {
  mediaType: mediaTypes.index,
  digest: `sha256:${"a".repeat(64)}`,
  size: 7n,
};

/** Filters that no parser takes, each broken in its own way. */
export const badFilters: readonly string[] = [
  "id==",
  "==a",
  "id==a,",
  "id = a",
  "id==a b",
  'id=="a',
  "id=='a'",
  'id=="\\q"',
  "id~~a",
  "id!a",
  "a..b==c",
  ".a==b",
  "labels.==b",
  'labels."a==b',
  "id==a id==b",
  ",",
  "!id",
];

/** Filters that parse but for their regular expressions. */
export const badRegexps = (field: string): readonly string[] => [`${field}~=[`, `${field}~=(?P<x`];

/** Filters that parse, with quotes, regular expressions and presence. */
export const goodFilters: readonly string[] = [
  "id",
  "id!=a",
  'id=="a"',
  "id~=^[ab]$",
  'id~="^(a|b)$"',
  "id~=|a.b|",
  "id~=/^b/",
  'labels."with.dots/and-slash"==1',
  'labels.l=="1"',
  "labels.l,id==a",
  "labels",
  "nothing",
  "",
];
