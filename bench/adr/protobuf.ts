import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { AnySchema } from "@bufbuild/protobuf/wkt";
import { ContainerSchema } from "../../src/gen/containerd/services/containers/v1/containers_pb.ts";
import { runOk } from "../../test/support/index.ts";
import { ratioInTurn } from "./pairs.ts";

const messages = 20_000;
const rounds = 7;

interface Codec {
  readonly encode: (value: unknown) => Uint8Array;
  readonly decode: (bytes: Uint8Array) => unknown;
}

/** ADR 5: a container's record with a spec of 6 kB, encoded and decoded by protobuf-es and by protobufjs. */
export async function measureProtobuf(): Promise<readonly string[]> {
  const message = create(ContainerSchema, {
    id: "redis",
    image: "docker.io/library/redis:7",
    labels: { "io.example.one": "1", "io.example.two": "2" },
    runtime: { name: "io.containerd.runc.v2" },
    spec: create(AnySchema, {
      typeUrl: "types.containerd.io/opencontainers/runtime-spec/1/Spec",
      value: new Uint8Array(6000).fill(65),
    }),
    snapshotter: "overlayfs",
    snapshotKey: "redis",
    createdAt: { seconds: 1_700_000_000n, nanos: 5 },
  });
  const bytes = toBinary(ContainerSchema, message);
  const folder = mkdtempSync(path.join(tmpdir(), "lighter-adr-"));
  try {
    const other = await protobufjs(folder);
    const theirs = other.decode(bytes);
    if (Buffer.compare(other.encode(theirs), bytes) !== 0) throw new Error("the codecs do not agree");
    const time = (work: () => unknown) => (): number => {
      const began = performance.now();
      for (let i = 0; i < messages; i++) work();
      return performance.now() - began;
    };
    const decode = await ratioInTurn(
      time(() => fromBinary(ContainerSchema, bytes)),
      time(() => other.decode(bytes)),
      rounds,
    );
    const encode = await ratioInTurn(
      time(() => toBinary(ContainerSchema, message)),
      time(() => other.encode(theirs)),
      rounds,
    );
    return [`decoding, protobuf-es : protobufjs: ${decode}`, `encoding, protobuf-es : protobufjs: ${encode}`];
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** The other library, which is fetched for the measurement alone, with its types from our own .proto files. */
async function protobufjs(folder: string): Promise<Codec> {
  writeFileSync(path.join(folder, "package.json"), "{}");
  await runOk(["npm", "install", "--silent", "--ignore-scripts", "--prefix", folder, "protobufjs@7.5.4"], {
    timeoutMs: 120_000,
  });
  const library = (await import(path.join(folder, "node_modules/protobufjs/index.js"))).default;
  const root = new library.Root();
  const proto = path.resolve(import.meta.dir, "../../proto");
  root.resolvePath = (_origin: string, target: string) => path.join(proto, target);
  const type = root
    .loadSync("containerd/services/containers/v1/containers.proto")
    .lookupType("containerd.services.containers.v1.Container");
  return {
    encode: (value) => type.encode(value as { [name: string]: unknown }).finish(),
    decode: (bytes) => type.decode(bytes),
  };
}
