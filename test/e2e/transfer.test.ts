import { afterAll, beforeAll, describe, expect } from "bun:test";
import fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { create, type DescMessage, type MessageInitShape } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import { Streaming } from "../../src/gen/containerd/services/streaming/v1/streaming_pb.ts";
import { Transfer } from "../../src/gen/containerd/services/transfer/v1/transfer_pb.ts";
import { ImageStoreSchema } from "../../src/gen/containerd/types/transfer/imagestore_pb.ts";
import {
  ImageExportStreamSchema,
  ImageImportStreamSchema,
} from "../../src/gen/containerd/types/transfer/importexport_pb.ts";
import type { Progress } from "../../src/gen/containerd/types/transfer/progress_pb.ts";
import {
  AuthRequestSchema,
  AuthResponseSchema,
  AuthType,
  OCIRegistrySchema,
} from "../../src/gen/containerd/types/transfer/registry_pb.ts";
import { anyOf, anyTo } from "../../src/wire/any.ts";
import { connectGrpc } from "../../src/wire/grpc/index.ts";
import type { ClientConnection } from "../../src/wire/service.ts";
import { busyboxImage, type Daemon, missing, runOk, sharedDaemon, writeBusyboxImage } from "../support/index.ts";
import { type Registry, startRegistry } from "../support/registry.ts";
import { openStream, receiveBytes, sendBytes, type TransferApi, transfer } from "../support/transfer.ts";

const shared = sharedDaemon();
const needs = ["ours", "docker-registry", "skopeo"] as const;
const user = { name: "bosun", password: "pipe" };

let registry: Registry;
let registryFolder = "";
let connection: ClientConnection | undefined;
if (missing(needs) === undefined) {
  beforeAll(async () => {
    registryFolder = await fs.mkdtemp(path.join(os.tmpdir(), "lt-registry-"));
    registry = await startRegistry({ folder: registryFolder, user });
  });
  afterAll(async () => {
    await connection?.[Symbol.asyncDispose]();
    await registry?.[Symbol.asyncDispose]();
    await fs.rm(registryFolder, { recursive: true, force: true });
  });
}

async function api(daemon: Daemon, namespace = daemon.namespace): Promise<TransferApi> {
  connection ??= await connectGrpc({ path: daemon.address });
  return {
    streaming: connection.client(Streaming, { namespace }),
    transfer: connection.client(Transfer, { namespace }),
  };
}

const any = <D extends DescMessage>(schema: D, value: MessageInitShape<D>): Any => anyOf(schema, create(schema, value));
const storeOf = (value: MessageInitShape<typeof ImageStoreSchema>): Any => any(ImageStoreSchema, value);
const linux = { os: "linux", architecture: process.arch === "arm64" ? "arm64" : "amd64" };

/** The registry's endpoint, with a client that answers its questions. */
async function registryOf(services: TransferApi, reference: string, questions: string[] = []): Promise<Any> {
  const stream = await openStream(services.streaming, "auth");
  const answer = async (): Promise<void> => {
    for (let message = await stream.receive(); message !== undefined; message = await stream.receive()) {
      questions.push(anyTo(message, AuthRequestSchema).host);
      const reply = { authType: AuthType.CREDENTIALS, username: user.name, secret: user.password };
      await stream.send(any(AuthResponseSchema, reply));
    }
  };
  answer().catch(() => {});
  return any(OCIRegistrySchema, { reference, resolver: { authStream: stream.id, defaultScheme: "http" } });
}

async function exported(services: TransferApi, name: string): Promise<Buffer> {
  const stream = await openStream(services.streaming, "export");
  const parts = Array.fromAsync(receiveBytes(stream));
  await transfer(services, storeOf({ name }), any(ImageExportStreamSchema, { stream: stream.id, platforms: [linux] }));
  return Buffer.concat(await parts);
}

async function imported(services: TransferApi, file: string, destination: Any): Promise<Progress[]> {
  const told: Progress[] = [];
  const stream = await openStream(services.streaming, "import");
  const sending = sendBytes(stream, Bun.file(file).stream());
  const source = any(ImageImportStreamSchema, { stream: stream.id });
  await transfer(services, source, destination, { onProgress: (progress) => told.push(progress) });
  await sending;
  return told;
}

describe("transfer", () => {
  shared.test(
    "pushes to a registry that asks who one is, and pulls from it into another namespace, unpacked",
    async (daemon) => {
      const services = await api(daemon);
      const reference = `${registry.host}/harbour/busybox:1`;
      const questions: string[] = [];
      const pushed: Progress[] = [];
      const destination = await registryOf(services, reference, questions);
      const onProgress = (into: Progress[]) => (progress: Progress) => void into.push(progress);
      await transfer(services, storeOf({ name: busyboxImage }), destination, { onProgress: onProgress(pushed) });
      expect(questions).toContain(registry.host);
      expect(pushed.map(({ event }) => event)).toContain("pushed content");
      const login = ["--tls-verify=false", "--creds", `${user.name}:${user.password}`];
      const inspected = JSON.parse(await runOk(["skopeo", "inspect", ...login, `docker://${reference}`]));
      expect(inspected.Layers.length).toBe(2);

      const elsewhere = await api(daemon, `${daemon.namespace}-2`);
      const pulled: Progress[] = [];
      const unpacks = [{ platform: linux, snapshotter: "overlayfs" }];
      const store = storeOf({ name: reference, platforms: [linux], unpacks, labels: { deck: "main" } });
      await transfer(elsewhere, await registryOf(elsewhere, reference), store, { onProgress: onProgress(pulled) });
      const events = pulled.map(({ event }) => event);
      expect(events[0]).toBe(`Resolving from OCI Registry (${reference})`);
      expect(events.at(-1)).toBe(`Completed pull from OCI Registry (${reference})`);
      for (const event of ["waiting", "extracted", "saved"]) expect(events).toContain(event);
      const ctr = (...words: string[]): Promise<string> =>
        runOk(["ctr", "-a", daemon.address, "-n", `${daemon.namespace}-2`, ...words]);
      expect(await ctr("images", "check")).toMatch(/complete \(3\/3\).*true/);
      expect(await ctr("images", "ls")).toContain("deck=main");
      expect(await ctr("leases", "ls", "-q")).toBe("");
      const folder = path.join(daemon.workspace.folder, "pulled");
      await fs.mkdir(folder);
      await ctr("images", "mount", reference, folder);
      try {
        expect(await fs.readFile(path.join(folder, "etc/greeting"), "utf8")).toBe("ahoy from the second layer\n");
        expect(await fs.readdir(path.join(folder, "etc"))).not.toContain("removed");
        expect((await fs.stat(path.join(folder, "tmp"))).mode & 0o7777).toBe(0o1777);
      } finally {
        await ctr("images", "unmount", "--rm", folder);
      }
      // A second pull finds everything there.
      const again: Progress[] = [];
      await transfer(elsewhere, await registryOf(elsewhere, reference), store, { onProgress: onProgress(again) });
      expect(again.filter(({ event }) => event === "downloading")).toEqual([]);
      await ctr("images", "rm", "--sync", reference);
      await ctr("namespaces", "rm", `${daemon.namespace}-2`);
    },
    { needs },
  );

  shared.test(
    "says what is wrong with a pull",
    async (daemon) => {
      const services = await api(daemon);
      const store = storeOf({ name: "lighter.test/none:1" });
      const source = await registryOf(services, `${registry.host}/harbour/none:1`);
      expect(transfer(services, source, store)).rejects.toThrow(/^failed to resolve image: .*not found/);
      const anonymous = any(OCIRegistrySchema, {
        reference: `${registry.host}/harbour/busybox:1`,
        resolver: { defaultScheme: "http" },
      });
      expect(transfer(services, anonymous, store)).rejects.toThrow("failed to resolve image");
    },
    { needs },
  );

  shared.test(
    "imports what others wrote and exports what others read",
    async (daemon) => {
      const services = await api(daemon);
      const file = await writeBusyboxImage(path.join(daemon.workspace.folder, "in.tar"), "lighter.test/through:1");
      const extraReferences = [{ name: "lighter.test/through", isPrefix: true }];
      const unpacks = [{ platform: linux }];
      const told = await imported(services, file, storeOf({ extraReferences, unpacks, platforms: [linux] }));
      expect(told.map(({ event }) => event)).toContain("extracted");
      const archive = path.join(daemon.workspace.folder, "out.tar");
      await fs.writeFile(archive, await exported(services, "lighter.test/through:1"));
      for (const transport of ["oci-archive", "docker-archive"]) {
        const found = JSON.parse(await runOk(["skopeo", "inspect", "--raw", `${transport}:${archive}`]));
        expect(found.layers.length).toBe(2);
      }
      const foreign = path.join(daemon.workspace.folder, "foreign.tar");
      await runOk(["skopeo", "copy", `oci-archive:${archive}`, `docker-archive:${foreign}:lighter.test/foreign:3`]);
      const names = [{ name: "lighter.test/foreign", isPrefix: true }];
      await imported(services, foreign, storeOf({ extraReferences: names, unpacks, platforms: [linux] }));
      expect(await daemon.ctrOk(["images", "check", "name==lighter.test/foreign:3"])).toMatch(
        /complete \(3\/3\).*true/,
      );
      // containerd's own client takes what we exported, too.
      await daemon.ctrOk(["images", "rm", "lighter.test/through:1", "lighter.test/foreign:3"]);
      await daemon.ctrOk(["images", "import", archive]);
      expect(await daemon.ctrOk(["images", "ls", "-q"])).toContain("lighter.test/through:1");
      await daemon.ctrOk(["images", "rm", "lighter.test/through:1"]);
    },
    { needs },
  );

  shared.test(
    "ends with its caller",
    async (daemon) => {
      const services = await api(daemon);
      const abort = new AbortController();
      const stream = await openStream(services.streaming, "import", { signal: abort.signal });
      const source = any(ImageImportStreamSchema, { stream: stream.id });
      const calling = transfer(services, source, storeOf({ name: "lighter.test/never:1" }), { signal: abort.signal });
      abort.abort();
      expect(calling).rejects.toThrow();
      expect(await daemon.ctrOk(["images", "ls", "-q"])).not.toContain("never");
    },
    { needs: ["ours"] },
  );
});
