import { Content, WriteAction } from "../../../src/gen/containerd/services/content/v1/content_pb.ts";
import { Diff } from "../../../src/gen/containerd/services/diff/v1/diff_pb.ts";
import { Snapshots } from "../../../src/gen/containerd/services/snapshots/v1/snapshots_pb.ts";
import type { Mount } from "../../../src/gen/containerd/types/mount_pb.ts";
import { packTar } from "../../support/tar.ts";
import {
  answeredOnce,
  badLayer,
  contentCreated,
  mountsElsewhere,
  ofLayer,
  snapshotterInEvents,
} from "../differences.ts";
import { call, type Scenario, type Step, scenario } from "../script.ts";
import type { Variables } from "../variables.ts";
import { digestOf, mediaTypes, noDigest, rooted } from "./values.ts";

const { apply, diff } = Diff.method;
const snapshotter = "native";
const namespace = "diff-layers";

const layer = packTar([
  { path: "etc", type: "folder" },
  { path: "etc/greeting", content: "ahoy\n" },
  { path: "etc/link", type: "symlink", target: "greeting" },
  { path: "etc/other", type: "hardlink", target: "etc/greeting" },
]);
const packed = Bun.gzipSync(new Uint8Array(layer));
const text = Buffer.from("no archive at all");
const hostile = packTar([{ path: "../../outside", content: "x" }]);

const truncated = "at the beginning: unexpected end of archive";
const failed =
  'failed to mount rootfs component: mount "<root>/io.containerd.differ.v1.walking/upper": no such file or directory';

const stored = (name: string, bytes: Uint8Array<ArrayBuffer>): Step =>
  call(
    name,
    Content.method.write,
    [
      {
        action: WriteAction.COMMIT,
        ref: name,
        data: bytes,
        total: BigInt(bytes.length),
        expected: digestOf(bytes),
        labels: rooted,
      },
    ],
    { differs: [answeredOnce, contentCreated(namespace, digestOf(bytes), bytes.length)] },
  );
const descriptor = (mediaType: string, bytes: Uint8Array) => ({
  mediaType,
  digest: digestOf(bytes),
  size: BigInt(bytes.length),
});
const prepared = (key: string): Step =>
  call(
    `snapshot ${key}`,
    Snapshots.method.prepare,
    { snapshotter, key, labels: rooted },
    {
      keep: (variables, { mounts }) => variables.set(key, mounts),
      differs: snapshotterInEvents(snapshotter),
    },
  );
const mountsOf = (variables: Variables, key: string): Mount[] => variables.get<Mount[]>(key);

export const diffScenarios: readonly Scenario[] = [
  scenario("diff", "layers", [
    stored("layer", new Uint8Array(layer)),
    stored("packed", new Uint8Array(packed)),
    stored("text", new Uint8Array(text)),
    prepared("a"),
    prepared("b"),
    prepared("c"),
    call("apply", apply, (v) => ({ diff: descriptor(mediaTypes.layer, layer), mounts: mountsOf(v, "a") })),
    call("apply what is compressed", apply, (v) => ({
      diff: descriptor(mediaTypes.gzipLayer, packed),
      mounts: mountsOf(v, "b"),
    })),
    call("apply twice", apply, (v) => ({ diff: descriptor(mediaTypes.layer, layer), mounts: mountsOf(v, "a") })),
    call("apply by docker's type", apply, (v) => ({
      diff: descriptor("application/vnd.docker.image.rootfs.diff.tar.gzip", packed),
      mounts: mountsOf(v, "b"),
    })),
    call(
      "apply what is compressed as if it were not",
      apply,
      (v) => ({
        diff: descriptor(mediaTypes.layer, packed),
        mounts: mountsOf(v, "c"),
      }),
      { differs: badLayer(digestOf(packed), truncated) },
    ),
    call("apply what is not compressed as if it were", apply, (v) => ({
      diff: descriptor(mediaTypes.gzipLayer, layer),
      mounts: mountsOf(v, "c"),
    })),
    call(
      "apply of no archive",
      apply,
      (v) => ({
        diff: descriptor(mediaTypes.layer, text),
        mounts: mountsOf(v, "c"),
      }),
      { differs: badLayer(digestOf(text), truncated) },
    ),
    call("apply of what is not there", apply, (v) => ({
      diff: { mediaType: mediaTypes.layer, digest: noDigest, size: 1n },
      mounts: mountsOf(v, "c"),
    })),
    call(
      "apply of an unknown type",
      apply,
      (v) => ({
        diff: descriptor("text/plain", layer),
        mounts: mountsOf(v, "c"),
      }),
      { differs: ofLayer(digestOf(layer)) },
    ),
    call("apply without a type", apply, (v) => ({ diff: descriptor("", layer), mounts: mountsOf(v, "c") }), {
      differs: ofLayer(digestOf(layer)),
    }),
    call("apply without a digest", apply, (v) => ({
      diff: { mediaType: mediaTypes.layer, digest: "", size: 1n },
      mounts: mountsOf(v, "c"),
    })),
    call(
      "apply to a mount that fails",
      apply,
      {
        diff: descriptor(mediaTypes.layer, layer),
        mounts: [{ type: "bind", source: "/nonesuch", options: ["rbind"] }],
      },
      { differs: mountsElsewhere(`apply layer ${digestOf(layer)}: stat: no such file or directory`) },
    ),
    call(
      "compare",
      diff,
      (v) => ({
        left: mountsOf(v, "c"),
        right: mountsOf(v, "a"),
        mediaType: mediaTypes.layer,
        labels: rooted,
      }),
      { differs: contentCreated(namespace, digestOf(new Uint8Array(1024)), 1024, mediaTypes.layer) },
    ),
    call("compare the same", diff, (v) => ({
      left: mountsOf(v, "a"),
      right: mountsOf(v, "a"),
      mediaType: mediaTypes.layer,
      labels: rooted,
    })),
    call("compare to an unknown type", diff, (v) => ({
      left: mountsOf(v, "c"),
      right: mountsOf(v, "a"),
      mediaType: "text/plain",
    })),
    call(
      "compare with a mount that fails",
      diff,
      (v) => ({
        left: mountsOf(v, "c"),
        right: [{ type: "bind", source: "/nonesuch", options: ["rbind"] }],
        mediaType: mediaTypes.layer,
      }),
      { differs: mountsElsewhere(failed) },
    ),
    stored("hostile", new Uint8Array(hostile)),
    call(
      "apply of what leads out",
      apply,
      (v) => ({
        diff: descriptor(mediaTypes.layer, hostile),
        mounts: mountsOf(v, "c"),
      }),
      { differs: badLayer(digestOf(hostile), 'entry "../../outside": name leads out of the layer: invalid argument') },
    ),
  ]),
];
