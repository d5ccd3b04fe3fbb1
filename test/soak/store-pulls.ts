import path from "node:path";
import { create } from "@bufbuild/protobuf";
import { Transfer } from "../../src/gen/containerd/services/transfer/v1/transfer_pb.ts";
import { ImageStoreSchema } from "../../src/gen/containerd/types/transfer/imagestore_pb.ts";
import { OCIRegistrySchema } from "../../src/gen/containerd/types/transfer/registry_pb.ts";
import { anyOf } from "../../src/wire/any.ts";
import { connectGrpc } from "../../src/wire/grpc/index.ts";
import { type Daemon, runOk } from "../support/index.ts";
import { startRegistry } from "../support/registry.ts";

/** A registry of our own with images in it, for a daemon that is killed while it pulls them. */
export interface Pulls extends AsyncDisposable {
  readonly names: readonly string[];
  /** Pulls and unpacks an image. Errors: what the daemon says, or that it is gone. */
  pull(name: string): Promise<void>;
}

const platform = { os: "linux", architecture: process.arch === "arm64" ? "arm64" : "amd64" };

/** Starts a registry with each of these archives in it, under the name that it has in the archive. */
export async function startPulls(daemon: Daemon, archives: ReadonlyMap<string, string>): Promise<Pulls> {
  await using stack = new AsyncDisposableStack();
  const registry = stack.use(await startRegistry({ folder: path.join(daemon.workspace.folder, "registry") }));
  const names: string[] = [];
  for (const [name, file] of archives) {
    const to = `${registry.host}/${name.replace(/^[^/]*\//, "")}`;
    await runOk(["skopeo", "copy", "--dest-tls-verify=false", `oci-archive:${file}`, `docker://${to}`]);
    names.push(to);
  }
  const owned = stack.move();
  return {
    names,
    pull: async (name) => {
      await using connection = await connectGrpc({ path: daemon.address });
      const source = create(OCIRegistrySchema, { reference: name, resolver: { defaultScheme: "http" } });
      const destination = create(ImageStoreSchema, { name, platforms: [platform], unpacks: [{ platform }] });
      await connection.client(Transfer, { namespace: daemon.namespace }).transfer({
        source: anyOf(OCIRegistrySchema, source),
        destination: anyOf(ImageStoreSchema, destination),
      });
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
