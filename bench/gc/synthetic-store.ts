import { Database } from "bun:sqlite";
import fs from "node:fs/promises";
import path from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import { ImageSchema } from "../../src/gen/containerd/services/images/v1/images_pb.ts";
import { DescriptorSchema } from "../../src/gen/containerd/types/descriptor_pb.ts";

export interface StoreSize {
  readonly blobs: number;
  readonly snapshots: number;
}

/** Of every image: one manifest, and as many layers, with a snapshot each where there are enough. */
const layersPerImage = 9;

/**
 * Fills the store of a daemon that is down with rows and tiny files: every second image is named and alive, the others are
 * garbage. Answers how many blobs are alive.
 */
export async function fillStore(root: string, namespace: string, size: StoreSize): Promise<number> {
  const db = new Database(path.join(root, "io.containerd.metadata.v1.bolt/meta.sqlite"), { strict: true });
  const images = Math.floor(size.blobs / (layersPerImage + 1));
  const firstId = highestId(db) + 1;
  db.run("BEGIN");
  db.query("INSERT INTO namespaces (name, labels) VALUES (?, '{}') ON CONFLICT DO NOTHING").run(namespace);
  const snapshotsPerImage = size.snapshots / images;
  let snapshots = 0;
  for (let image = 0; image < images; image++) {
    const top = Math.floor((image + 1) * snapshotsPerImage);
    let parent: number | null = null;
    for (; snapshots < top; snapshots++)
      parent = addSnapshot(db, namespace, firstId + snapshots, `sn-${snapshots}`, parent);
    addImage(db, namespace, image, snapshots === 0 ? "" : `sn-${snapshots - 1}`);
  }
  db.run("COMMIT");
  db.close();
  await writeFiles(root, images, firstId, snapshots);
  return Math.ceil(images / 2) * (layersPerImage + 1);
}

function highestId(db: Database): number {
  const sql = "SELECT coalesce(max(id), 0) AS id FROM snapshots WHERE snapshotter = 'overlayfs'";
  return db.query<{ id: number }, []>(sql).get()?.id ?? 0;
}

function addImage(db: Database, namespace: string, image: number, topSnapshot: string): void {
  const layers = Array.from({ length: layersPerImage }, (_, layer) => digestOf(image, layer + 1));
  const labels = Object.fromEntries(layers.map((digest, at) => [`containerd.io/gc.ref.content.l.${at}`, digest]));
  if (topSnapshot !== "") labels["containerd.io/gc.ref.snapshot.overlayfs"] = topSnapshot;
  const insert = db.query(
    "INSERT INTO content_blobs (namespace, digest, size, created_at, updated_at, labels) VALUES (?, ?, 64, 1, 1, ?)",
  );
  insert.run(namespace, digestOf(image, 0), JSON.stringify(labels));
  for (const [at, digest] of layers.entries()) {
    const source = {
      "containerd.io/distribution.source.docker.io": `library/image-${image}`,
      "containerd.io/uncompressed": digestOf(image, at),
    };
    insert.run(namespace, digest, JSON.stringify(source));
  }
  if (image % 2 === 1) return;
  const target = { digest: digestOf(image, 0), size: 64n, mediaType: "application/vnd.oci.image.manifest.v1+json" };
  const message = create(ImageSchema, { name: `image-${image}`, target: create(DescriptorSchema, target) });
  db.query("INSERT INTO images (namespace, name, target, message) VALUES (?, ?, ?, ?)").run(
    namespace,
    message.name,
    target.digest,
    toBinary(ImageSchema, message),
  );
}

function addSnapshot(db: Database, namespace: string, id: number, name: string, parent: number | null): number {
  db.query(
    `INSERT INTO snapshots (snapshotter, id, namespace, name, parent, kind, labels, created_at, updated_at)
     VALUES ('overlayfs', ?, ?, ?, ?, 'committed', '{}', 1, 1)`,
  ).run(id, namespace, name, parent);
  return id;
}

async function writeFiles(root: string, images: number, firstId: number, snapshots: number): Promise<void> {
  const blobs = path.join(root, "io.containerd.content.v1.content/blobs/sha256");
  const folders = path.join(root, "io.containerd.snapshotter.v1.overlayfs/snapshots");
  await fs.mkdir(blobs, { recursive: true });
  const bytes = Buffer.alloc(64, "x");
  for (let image = 0; image < images; image++) {
    const layers = Array.from({ length: layersPerImage + 1 }, (_, layer) => digestOf(image, layer).slice(7));
    await Promise.all(layers.map((name) => fs.writeFile(path.join(blobs, name), bytes)));
  }
  for (let at = 0; at < snapshots; at += 16) {
    const some = Array.from({ length: Math.min(16, snapshots - at) }, (_, index) =>
      path.join(folders, String(firstId + at + index)),
    );
    await Promise.all(some.map((folder) => fs.mkdir(path.join(folder, "fs/etc"), { recursive: true })));
    await Promise.all(some.map((folder) => fs.writeFile(path.join(folder, "fs/etc/passwd"), bytes)));
  }
}

/** A name as scattered as a real digest. */
function digestOf(image: number, layer: number): string {
  return `sha256:${new Bun.CryptoHasher("sha256").update(`${image}/${layer}`).digest("hex")}`;
}
