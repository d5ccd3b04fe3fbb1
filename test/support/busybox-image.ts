import { createHash } from "node:crypto";
import fs from "node:fs/promises";
import path from "node:path";
import { packTar, type TarEntry } from "./tar.ts";

/** The name under which the image is imported. */
export const busyboxImage = "lighter.test/busybox:1";

interface Blob {
  readonly bytes: Uint8Array;
  readonly digest: string;
}

const hexOf = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const blobOf = (bytes: Uint8Array): Blob => ({ bytes, digest: `sha256:${hexOf(bytes)}` });
const jsonBlob = (value: unknown): Blob => blobOf(new TextEncoder().encode(JSON.stringify(value)));
const descriptorOf = (mediaType: string, blob: Blob): Readonly<Record<string, unknown>> => ({
  mediaType,
  digest: blob.digest,
  size: blob.bytes.length,
});

/**
 * Writes an OCI archive of two layers made from the machine's static busybox, without a network.
 * Shape: the second layer adds a file, changes one and removes one, so that an unpacking that skips whiteouts shows.
 */
export async function writeBusyboxImage(file: string, name: string = busyboxImage): Promise<string> {
  const busybox = await fs.readFile(await findBusybox());
  const layers = [packTar(await baseEntries(busybox)), packTar(changeEntries())];
  const zipped = layers.map((layer) => blobOf(Bun.gzipSync(layer as Uint8Array<ArrayBuffer>)));
  const config = jsonBlob({
    created: "1970-01-01T00:00:00Z",
    architecture: process.arch === "arm64" ? "arm64" : "amd64",
    os: "linux",
    config: { Env: ["PATH=/bin:/sbin:/usr/bin:/usr/sbin", "FLAVOUR=barge"], Cmd: ["/bin/sh"], WorkingDir: "/" },
    rootfs: { type: "layers", diff_ids: layers.map((layer) => `sha256:${hexOf(layer)}`) },
  });
  const manifest = jsonBlob({
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    config: descriptorOf("application/vnd.oci.image.config.v1+json", config),
    layers: zipped.map((layer) => descriptorOf("application/vnd.oci.image.layer.v1.tar+gzip", layer)),
  });
  await fs.writeFile(file, packTar(archiveEntries(name, manifest, [config, manifest, ...zipped])));
  return file;
}

/** Lays the same root file system out in a folder, for what needs a rootfs and no image. */
export async function writeBusyboxRootfs(folder: string): Promise<string> {
  const busybox = await findBusybox();
  for (const name of ["bin", "dev", "etc", "proc", "root", "sys", "tmp", "run"]) {
    await fs.mkdir(path.join(folder, name), { recursive: true });
  }
  await fs.copyFile(busybox, path.join(folder, "bin/busybox"));
  for (const applet of await appletsOf(busybox)) await fs.symlink("busybox", path.join(folder, "bin", applet));
  await fs.chmod(path.join(folder, "tmp"), 0o1777);
  await fs.writeFile(path.join(folder, "etc/passwd"), passwd);
  await fs.writeFile(path.join(folder, "etc/group"), group);
  return folder;
}

const passwd = "root:x:0:0:root:/root:/bin/sh\nsailor:x:1000:1000:sailor:/:/bin/sh\n";
const group = "root:x:0:\nsailor:x:1000:\n";

async function baseEntries(busybox: Uint8Array): Promise<readonly TarEntry[]> {
  const folders = ["bin", "dev", "etc", "proc", "root", "run", "sys", "usr", "usr/bin", "var"];
  return [
    ...folders.map((name) => ({ path: name, type: "folder" as const })),
    { path: "tmp", type: "folder", mode: 0o1777 },
    { path: "bin/busybox", mode: 0o755, content: busybox },
    ...(await appletsOf(await findBusybox())).map((applet) => ({
      path: `bin/${applet}`,
      type: "hardlink" as const,
      target: "bin/busybox",
      mode: 0o755,
    })),
    { path: "etc/passwd", content: passwd },
    { path: "etc/group", content: group },
    { path: "etc/greeting", content: "ahoy from the first layer\n" },
    { path: "etc/removed", content: "the second layer removes this\n" },
  ];
}

function changeEntries(): readonly TarEntry[] {
  return [
    { path: "etc", type: "folder" },
    { path: "etc/greeting", content: "ahoy from the second layer\n" },
    { path: "etc/.wh.removed" },
    { path: "etc/added", type: "symlink", target: "greeting" },
  ];
}

function archiveEntries(name: string, manifest: Blob, blobs: readonly Blob[]): readonly TarEntry[] {
  const index = {
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.index.v1+json",
    manifests: [
      {
        ...descriptorOf("application/vnd.oci.image.manifest.v1+json", manifest),
        annotations: { "io.containerd.image.name": name, "org.opencontainers.image.ref.name": "1" },
        platform: { architecture: process.arch === "arm64" ? "arm64" : "amd64", os: "linux" },
      },
    ],
  };
  return [
    { path: "oci-layout", content: JSON.stringify({ imageLayoutVersion: "1.0.0" }) },
    { path: "blobs", type: "folder" },
    { path: "blobs/sha256", type: "folder" },
    ...blobs.map((blob) => ({ path: `blobs/sha256/${blob.digest.slice("sha256:".length)}`, content: blob.bytes })),
    { path: "index.json", content: JSON.stringify(index) },
  ];
}

async function findBusybox(): Promise<string> {
  const found = Bun.which("busybox", { PATH: `${process.env["PATH"] ?? ""}:/bin:/usr/bin` });
  if (found === null) throw new Error("busybox is not installed (Debian: busybox-static)");
  return found;
}

async function appletsOf(busybox: string): Promise<readonly string[]> {
  const list = await Bun.$`${busybox} --list`.text();
  return list.split("\n").filter((name) => name !== "" && name !== "busybox");
}
