import { describe, expect } from "bun:test";
import fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { create, type DescMessage, type MessageInitShape } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import { Streaming } from "../../src/gen/containerd/services/streaming/v1/streaming_pb.ts";
import { Transfer } from "../../src/gen/containerd/services/transfer/v1/transfer_pb.ts";
import { ImageStoreSchema } from "../../src/gen/containerd/types/transfer/imagestore_pb.ts";
import { ImageImportStreamSchema } from "../../src/gen/containerd/types/transfer/importexport_pb.ts";
import { anyOf } from "../../src/wire/any.ts";
import { connectGrpc } from "../../src/wire/grpc/index.ts";
import { lighter } from "../cli/support.ts";
import {
  busyboxImage,
  type Daemon,
  importBusybox,
  type RunResult,
  runOk,
  startLighter,
  testNeeding,
  writeBusyboxImage,
} from "../support/index.ts";
import { type Registry, startRegistry } from "../support/registry.ts";
import { openStream, sendBytes, type TransferApi, transfer } from "../support/transfer.ts";

const needs = ["ours", "root", "lighterd", "ctr", "busybox", "overlayfs", "runc", "registry"] as const;

/** Refuses what is called forbidden, and writes down what it was asked about. */
const verifier = (log: string): string => `#!/bin/sh
echo "$2" >> ${log}
case "$2" in *forbidden*) echo "the name says so"; exit 1;; esac
`;

interface Bed extends AsyncDisposable {
  readonly daemon: Daemon;
  readonly registry: Registry;
  /** An archive of an image of that name. */
  readonly archive: (name: string) => Promise<string>;
  readonly asked: () => Promise<readonly string[]>;
}

async function bed(guards: string): Promise<Bed> {
  await using stack = new AsyncDisposableStack();
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), "lt-verifiers-"));
  stack.defer(() => fs.rm(folder, { recursive: true, force: true }));
  const programs = path.join(folder, "programs");
  const log = path.join(folder, "asked");
  await fs.mkdir(programs);
  await fs.writeFile(path.join(programs, "names"), verifier(log), { mode: 0o755 });
  const registry = stack.use(await startRegistry({ folder }));
  const config = `[plugins."io.containerd.image-verifier.v1.bindir"]\nbin_dir = "${programs}"\n${guards}`;
  const daemon = stack.use(await startLighter({ config }));
  let count = 0;
  const owned = stack.move();
  return {
    daemon,
    registry,
    archive: (name) => writeBusyboxImage(path.join(folder, `${++count}.tar`), name),
    asked: async () => (await fs.readFile(log, "utf8").catch(() => "")).trim().split("\n"),
    [Symbol.asyncDispose]: () => owned[Symbol.asyncDispose](),
  };
}

const any = <D extends DescMessage>(schema: D, value: MessageInitShape<D>): Any => anyOf(schema, create(schema, value));
const storeOf = (name: string): Any => any(ImageStoreSchema, { name });

/** Has the daemon bring something into its store under a name. */
async function byTransfer(
  daemon: Daemon,
  name: string,
  source: (api: TransferApi) => Promise<Any>,
): Promise<RunResult> {
  await using connection = await connectGrpc({ path: daemon.address });
  const call = { namespace: daemon.namespace };
  const api = { streaming: connection.client(Streaming, call), transfer: connection.client(Transfer, call) };
  const stderr = await transfer(api, await source(api), storeOf(name)).then(() => "", String);
  return { code: stderr === "" ? 0 : 1, stdout: "", stderr };
}

async function streamOf(api: TransferApi, file: string): Promise<Any> {
  const stream = await openStream(api.streaming, "import");
  // A daemon that refuses takes no more of it.
  sendBytes(stream, Bun.file(file).stream()).catch(() => {});
  return any(ImageImportStreamSchema, { stream: stream.id });
}

/** Every way by which a name comes to stand for content, as its users go it. */
const ways: readonly (readonly [string, (bed: Bed, name: string) => Promise<RunResult>])[] = [
  ["a pull by the daemon", ({ daemon }, name) => lighter(daemon, ["pull", "--plain-http", name])],
  ["a pull for a run", ({ daemon }, name) => lighter(daemon, ["run", "--rm", "--pull", "always", name, "true"])],
  ["a pull by a client", ({ daemon }, name) => daemon.ctr(["images", "pull", "--plain-http", name])],
  ["an import by a client", async ({ daemon, archive }, name) => daemon.ctr(["images", "import", await archive(name)])],
  ["a load by the command", async ({ daemon, archive }, name) => lighter(daemon, ["load", "-i", await archive(name)])],
  ["a tag by a client", ({ daemon }, name) => daemon.ctr(["images", "tag", busyboxImage, name])],
  ["a tag by the command", ({ daemon }, name) => lighter(daemon, ["tag", busyboxImage, name])],
  ["a tag by the daemon", ({ daemon }, name) => byTransfer(daemon, name, async () => storeOf(busyboxImage))],
  [
    "an import by the daemon",
    async ({ daemon, archive }, name) => {
      const file = await archive(name);
      return byTransfer(daemon, name, (api) => streamOf(api, file));
    },
  ],
  ["a conversion", ({ daemon }, name) => lighter(daemon, ["image", "convert", "--zstd", busyboxImage, name])],
];

/** Puts an image of each name into the registry. */
async function fill({ registry, archive }: Bed, ...names: string[]): Promise<void> {
  const file = await archive("any");
  for (const name of names) {
    const target = `docker://${registry.host}/${name}:1`;
    await runOk(["skopeo", "copy", "--dest-tls-verify=false", `oci-archive:${file}`, target]);
  }
}

describe("image verifiers", () => {
  testNeeding(
    needs,
    "are asked on every way in, and leave no name behind where they refuse",
    async () => {
      await using all = await bed("");
      const { daemon, registry } = all;
      await importBusybox(daemon);
      await fill(all, "forbidden", "welcome");
      for (const [at, [way, go]] of ways.entries()) {
        const nameOf = (kind: string): string =>
          way.includes("pull") ? `${registry.host}/${kind}:1` : `lighter.test/${kind}-${at}:1`;
        const refused = await go(all, nameOf("forbidden"));
        expect({ way, code: refused.code === 0 ? "0" : "failed", said: refused.stderr + refused.stdout }).toEqual({
          way,
          code: "failed",
          said: expect.stringContaining("verifier names rejected image (exit code 1): the name says so"),
        });
        expect(await daemon.ctrOk(["images", "ls", "-q"])).not.toContain("forbidden");
        expect(await all.asked()).toContain(nameOf("forbidden"));
        expect({ way, code: (await go(all, nameOf("welcome"))).code }).toEqual({ way, code: 0 });
        expect(await daemon.ctrOk(["images", "ls", "-q"])).toContain(nameOf("welcome"));
      }
    },
    90_000,
  );

  testNeeding(
    needs,
    "are asked of the daemon's own pulls alone where that is configured, as under containerd",
    async () => {
      await using pulls = await bed('guards = ["pull"]\n');
      await importBusybox(pulls.daemon);
      await fill(pulls, "forbidden");
      for (const [at, [way, go]] of ways.entries()) {
        const name = way.includes("pull") ? `${pulls.registry.host}/forbidden:1` : `lighter.test/forbidden-${at}:1`;
        const isGuarded = way === "a pull by the daemon" || way === "a pull for a run";
        expect({ way, passed: (await go(pulls, name)).code === 0 }).toEqual({ way, passed: !isGuarded });
      }
    },
    90_000,
  );
});
