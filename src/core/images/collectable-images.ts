import { create, fromBinary } from "@bufbuild/protobuf";
import { ImageDeleteSchema } from "../../gen/containerd/services/images/v1/image_pb.ts";
import { ImageSchema } from "../../gen/containerd/services/images/v1/images_pb.ts";
import { createCtx } from "../../lib/ctx.ts";
import { anyOf } from "../../wire/any.ts";
import type { Exchange } from "../events/index.ts";
import { type Collectable, gcLabelsOf, type Resource } from "../gc/index.ts";

interface ImageRow {
  readonly namespace: string;
  readonly name: string;
  readonly target: string;
  /** Only of an image with labels that concern garbage collection. */
  readonly message: Uint8Array | null;
}

const columns = `namespace, name, target,
  CASE WHEN instr(message, CAST('containerd.io/gc.' AS BLOB)) > 0 THEN message END AS message`;

/** The images, as garbage collection sees them: alive unless their time has passed. */
export function collectableImages(exchange: Exchange): Collectable {
  return {
    kind: "image",
    page: (db, after, limit) => {
      const sql = `SELECT ${columns} FROM images WHERE (namespace, name) > (?, ?) ORDER BY namespace, name LIMIT ?`;
      return db
        .query<ImageRow, [string, string, number]>(sql)
        .all(after?.namespace ?? "", after?.key ?? "", limit)
        .map(resourceOf);
    },
    find: (db, namespace, key) => {
      const sql = `SELECT ${columns} FROM images WHERE namespace = ? AND name = ?`;
      const row = db.query<ImageRow, [string, string]>(sql).get(namespace, key);
      return row === null ? undefined : resourceOf(row);
    },
    remove: (tx, { namespace, key }) => {
      const { changes } = tx.db.query("DELETE FROM images WHERE namespace = ? AND name = ?").run(namespace, key);
      if (changes === 0) return { removed: false, next: [] };
      const event = anyOf(ImageDeleteSchema, create(ImageDeleteSchema, { name: key }));
      tx.afterCommit(() => exchange.publish(createCtx({ namespace }), "/images/delete", event));
      return { removed: true, next: [] };
    },
  };
}

function resourceOf({ namespace, name, target, message }: ImageRow): Resource {
  const labels = message === null ? [] : gcLabelsOf(Object.entries(fromBinary(ImageSchema, message).labels));
  const holds: Resource["holds"] =
    target === "" ? [] : [{ node: { kind: "content", namespace, key: target }, how: "target" }];
  return { namespace, key: name, labels, holds, root: true };
}
