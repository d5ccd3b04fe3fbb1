import type { Database } from "bun:sqlite";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import {
  ImageCreateSchema,
  ImageDeleteSchema,
  ImageUpdateSchema,
} from "../../gen/containerd/services/images/v1/image_pb.ts";
import { type Image, ImageSchema } from "../../gen/containerd/services/images/v1/images_pb.ts";
import { type Clock, notBefore, systemClock } from "../../lib/clock.ts";
import type { Ctx } from "../../lib/ctx.ts";
import { alreadyExists, invalidArgument, notFound, quote, wrapFault } from "../../lib/faults.ts";
import { parseRecordFilters } from "../../lib/filters.ts";
import { Instant } from "../../lib/instant.ts";
import { labelMap, labelRecord, requireLabelKeys } from "../../lib/labels.ts";
import { anyOf } from "../../wire/any.ts";
import type { Exchange } from "../events/index.ts";
import type { LeaseManager } from "../leases/index.ts";
import type { Metadata, SchemaPart, Transaction } from "../metadata/index.ts";
import { ensureNamespace, type NamespaceStore } from "../namespaces/index.ts";
import { requireNamespace } from "../required-namespace.ts";
import { imageFields } from "./fields.ts";
import type { ImageDeleteOptions, ImageStore, ImageUpdateOptions } from "./images.ts";
import { updatedImage } from "./update.ts";
import { checkImage } from "./validate.ts";

export const imagesSchema: SchemaPart = {
  room: "images",
  migrations: [
    `CREATE TABLE images (
       namespace TEXT NOT NULL, name TEXT NOT NULL, target TEXT NOT NULL, message BLOB NOT NULL,
       PRIMARY KEY (namespace, name)
     ) WITHOUT ROWID, STRICT;`,
  ],
};

export interface ImageStoreOptions {
  readonly metadata: Metadata;
  readonly exchange: Exchange;
  readonly leases: LeaseManager;
  /** Told how to see that a namespace still holds images. */
  readonly namespaces?: NamespaceStore | undefined;
  readonly clock?: Clock | undefined;
}

interface MessageRow {
  readonly message: Uint8Array;
}

/** With this label an image is no root of garbage collection once its time has passed, so a lease may have to hold it. */
const expireLabel = "containerd.io/gc.expire";

export function createImageStore(options: ImageStoreOptions): ImageStore {
  const { metadata, clock = systemClock } = options;
  options.namespaces?.registerOccupancy("images", holdsImages);
  return {
    get: (ctx, name) => {
      const namespace = requireNamespace(ctx);
      return metadata.read((db) => requireImage(db, namespace, name));
    },
    list: (ctx, filters) => listImages(metadata, requireNamespace(ctx), filters),
    create: async (ctx, image, write = {}) => {
      const call: Call = { ...options, ctx, namespace: requireNamespace(ctx) };
      return metadata.update((tx) => insertImage(tx, call, image, write.sourceDate ?? clock()));
    },
    update: async (ctx, image, update) => {
      const call: Call = { ...options, ctx, namespace: requireNamespace(ctx) };
      if (image.name === "") throw invalidArgument("image name is required for update");
      return metadata.update((tx) => updateImage(tx, call, image, update, clock()));
    },
    delete: async (ctx, name, deletion = {}) => {
      const call: Call = { ...options, ctx, namespace: requireNamespace(ctx) };
      await metadata.update((tx) => deleteImage(tx, call, name, deletion));
    },
  };
}

/** Writes an image as another store had it. Effects: in the caller's transaction, without an event. */
export function importImage(tx: Transaction, namespace: string, image: Image): void {
  writeImage(tx, namespace, image);
}

interface Call extends ImageStoreOptions {
  readonly ctx: Ctx;
  readonly namespace: string;
}

function listImages(metadata: Metadata, namespace: string, filters: readonly string[]): readonly Image[] {
  const filter = parseRecordFilters(filters);
  const sql = "SELECT message FROM images WHERE namespace = ? ORDER BY name";
  const images = metadata.read((db) => db.query<MessageRow, [string]>(sql).all(namespace)).map(decode);
  return filter.matchesAll ? images : images.filter((image) => filter.matches(imageFields(image)));
}

function insertImage(tx: Transaction, call: Call, given: Image, now: Instant): Image {
  checkImage(given);
  const image = { ...kept(given), createdAt: now.toTimestamp(), updatedAt: now.toTimestamp() };
  ensureNamespace(tx, call.namespace);
  leaseImage(tx, call, image);
  if (readImage(tx.db, call.namespace, image.name) !== undefined) throw alreadyExists(`image ${quote(image.name)}`);
  writeImage(tx, call.namespace, image);
  const event = create(ImageCreateSchema, { name: image.name, labels: image.labels });
  announce(tx, call, "/images/create", anyOf(ImageCreateSchema, event));
  return image;
}

function updateImage(tx: Transaction, call: Call, wanted: Image, update: ImageUpdateOptions, now: Instant): Image {
  const stored = requireImage(tx.db, call.namespace, wanted.name);
  const next = updatedImage(stored, wanted, update.paths);
  checkImage(next);
  const createdAt = stored.createdAt ?? now.toTimestamp();
  const updatedAt = update.sourceDate ?? notBefore(now, Instant.of(createdAt));
  const image = { ...kept(next), createdAt, updatedAt: updatedAt.toTimestamp() };
  leaseImage(tx, call, image);
  writeImage(tx, call.namespace, image);
  tx.release();
  const event = create(ImageUpdateSchema, { name: image.name, labels: image.labels });
  announce(tx, call, "/images/update", anyOf(ImageUpdateSchema, event));
  return image;
}

function deleteImage(tx: Transaction, call: Call, name: string, { targetDigest }: ImageDeleteOptions): void {
  const { ctx, namespace, leases } = call;
  const current = requireImage(tx.db, namespace, name).target?.digest ?? "";
  if (targetDigest !== undefined && targetDigest !== "" && targetDigest !== current) {
    throw notFound(`image ${quote(name)} has target ${current}, not ${targetDigest}`);
  }
  tx.db.query("DELETE FROM images WHERE namespace = ? AND name = ?").run(namespace, name);
  leases.detach(tx, namespace, ctx.lease, { type: "images", id: name });
  tx.release();
  announce(tx, call, "/images/delete", anyOf(ImageDeleteSchema, create(ImageDeleteSchema, { name })));
}

function leaseImage(tx: Transaction, { ctx, namespace, leases }: Call, image: Image): void {
  if (Object.hasOwn(image.labels, expireLabel))
    leases.attach(tx, namespace, ctx.lease, { type: "images", id: image.name });
}

function announce(tx: Transaction, { ctx, exchange }: Call, topic: string, event: Any): void {
  tx.afterCommit(() => exchange.publish(ctx, topic, event));
}

function holdsImages(db: Database, namespace: string): boolean {
  return db.query("SELECT 1 FROM images WHERE namespace = ? LIMIT 1").get(namespace) !== null;
}

function requireImage(db: Database, namespace: string, name: string): Image {
  const image = readImage(db, namespace, name);
  if (image === undefined) throw notFound(`image ${quote(name)}`);
  return image;
}

function readImage(db: Database, namespace: string, name: string): Image | undefined {
  const sql = "SELECT message FROM images WHERE namespace = ? AND name = ?";
  const row = db.query<MessageRow, [string, string]>(sql).get(namespace, name);
  return row === null ? undefined : decode(row);
}

function writeImage(tx: Transaction, namespace: string, image: Image): void {
  requireKeys(image);
  const sql =
    "INSERT INTO images (namespace, name, target, message) VALUES (?1, ?2, ?3, ?4) " +
    "ON CONFLICT (namespace, name) DO UPDATE SET target = ?3, message = ?4";
  tx.db.query(sql).run(namespace, image.name, image.target?.digest ?? "", toBinary(ImageSchema, image));
  tx.touch("image", namespace, image.name);
}

/** Errors: unknown, as under containerd: a label or an annotation has no key. */
function requireKeys({ name, labels, target }: Image): void {
  try {
    requireLabelKeys(labels);
    requireLabelKeys(target?.annotations ?? {});
  } catch (error) {
    throw wrapFault(`writing labels for image ${name}`, error);
  }
}

function decode({ message }: MessageRow): Image {
  return fromBinary(ImageSchema, message);
}

/** An image as it is kept: labels and annotations of empty value are not. */
function kept(image: Image): Image {
  const { target } = image;
  const labels = labelRecord(labelMap(image.labels));
  if (target === undefined) return { ...image, labels };
  return { ...image, labels, target: { ...target, annotations: labelRecord(labelMap(target.annotations)) } };
}
