import type { Database } from "bun:sqlite";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Sandbox, Sandbox_RuntimeSchema, SandboxSchema } from "../../gen/containerd/types/sandbox_pb.ts";
import { type Clock, notBefore, systemClock } from "../../lib/clock.ts";
import { alreadyExists, notFound, quote, wrapFault } from "../../lib/faults.ts";
import { absentField, type FieldAdaptor, parseRecordFilters, recordField } from "../../lib/filters.ts";
import { checkIdentifier } from "../../lib/identifiers.ts";
import { Instant } from "../../lib/instant.ts";
import { labelMap, labelRecord, requireLabelKeys } from "../../lib/labels.ts";
import type { Metadata, SchemaPart, Transaction } from "../metadata/index.ts";
import { ensureNamespace } from "../namespaces/index.ts";
import { requireNamespace } from "../required-namespace.ts";
import type { SandboxStore } from "./sandboxes.ts";
import { applyUpdate } from "./update.ts";

/** The message as it came is the row. */
export const sandboxesSchema: SchemaPart = {
  room: "sandboxes",
  migrations: [
    `CREATE TABLE sandboxes (namespace TEXT NOT NULL, id TEXT NOT NULL, message BLOB NOT NULL) STRICT;
     CREATE UNIQUE INDEX sandboxes_by_id ON sandboxes (namespace, id);`,
  ],
};

export interface SandboxStoreOptions {
  readonly metadata: Metadata;
  readonly clock?: Clock | undefined;
}

interface MessageRow {
  readonly message: Uint8Array;
}

/** Source: containerd core/metadata/sandbox.go, with its texts. */
export function createSandboxStore({ metadata, clock = systemClock }: SandboxStoreOptions): SandboxStore {
  return {
    get: (ctx, id) => {
      const namespace = requireNamespace(ctx);
      return metadata.read((db) => read(db, namespace, id));
    },
    list: (ctx, filters) => listSandboxes(metadata, requireNamespace(ctx), filters),
    create: async (ctx, given) => {
      const namespace = requireNamespace(ctx);
      const now = clock();
      try {
        checkSandbox(given);
      } catch (error) {
        throw wrapFault("failed to validate sandbox", error);
      }
      const sandbox = kept(given, now, now);
      return metadata.update((tx) => insertSandbox(tx, namespace, sandbox));
    },
    update: async (ctx, wanted, paths) => {
      const namespace = requireNamespace(ctx);
      return metadata.update((tx) => {
        const stored = read(tx.db, namespace, wanted.sandboxId);
        applyUpdate(stored, wanted, paths);
        checkSandbox(stored);
        const now = clock();
        const createdAt = stored.createdAt === undefined ? now : Instant.of(stored.createdAt);
        return replaceSandbox(tx, namespace, kept(stored, createdAt, notBefore(now, createdAt)));
      });
    },
    delete: async (ctx, id) => {
      const namespace = requireNamespace(ctx);
      await metadata.update((tx) => deleteSandbox(tx, namespace, id));
    },
  };
}

/** Writes a sandbox as another store had it. Effects: in the caller's transaction. */
export function importSandbox(tx: Transaction, namespace: string, sandbox: Sandbox): void {
  const sql = "INSERT INTO sandboxes (namespace, id, message) VALUES (?, ?, ?)";
  tx.db.query(sql).run(namespace, sandbox.sandboxId, toBinary(SandboxSchema, sandbox));
}

function checkSandbox(sandbox: Sandbox): void {
  try {
    checkIdentifier(sandbox.sandboxId);
  } catch (error) {
    throw wrapFault("invalid sandbox ID", error);
  }
}

function listSandboxes(metadata: Metadata, namespace: string, filters: readonly string[]): readonly Sandbox[] {
  const filter = parseRecordFilters(filters);
  const sql = "SELECT message FROM sandboxes WHERE namespace = ? ORDER BY id";
  const rows = metadata.read((db) => db.query<MessageRow, [string]>(sql).all(namespace));
  const sandboxes = rows.map(decode);
  return filter.matchesAll ? sandboxes : sandboxes.filter((sandbox) => filter.matches(fieldsOf(sandbox)));
}

/** A sandbox as filters see it. Source: containerd core/metadata/adaptors.go, adaptSandbox. */
function fieldsOf(sandbox: Sandbox): FieldAdaptor {
  return ([first, ...rest]) => {
    if (first === "id") return { value: sandbox.sandboxId, present: true };
    return first === "labels" ? recordField(rest, sandbox.labels) : absentField;
  };
}

/** Errors: unknown, as under containerd: a label has no key. */
function requireKeys({ labels }: Sandbox): void {
  try {
    requireLabelKeys(labels);
  } catch (error) {
    throw wrapFault("write error", error);
  }
}

function insertSandbox(tx: Transaction, namespace: string, sandbox: Sandbox): Sandbox {
  const id = sandbox.sandboxId;
  requireKeys(sandbox);
  const sql = "INSERT INTO sandboxes (namespace, id, message) VALUES (?, ?, ?) ON CONFLICT DO NOTHING";
  if (tx.db.query(sql).run(namespace, id, toBinary(SandboxSchema, sandbox)).changes === 0) {
    throw wrapFault("write error", alreadyExists(`sandbox bucket ${quote(id)} already exists`));
  }
  ensureNamespace(tx, namespace);
  tx.touch("sandbox", namespace, id);
  return sandbox;
}

function replaceSandbox(tx: Transaction, namespace: string, sandbox: Sandbox): Sandbox {
  const sql = "UPDATE sandboxes SET message = ? WHERE namespace = ? AND id = ?";
  tx.db.query(sql).run(toBinary(SandboxSchema, sandbox), namespace, sandbox.sandboxId);
  tx.touch("sandbox", namespace, sandbox.sandboxId);
  tx.release();
  return sandbox;
}

function deleteSandbox(tx: Transaction, namespace: string, id: string): void {
  const { changes } = tx.db.query("DELETE FROM sandboxes WHERE namespace = ? AND id = ?").run(namespace, id);
  if (changes === 0) {
    requireAny(tx.db, namespace);
    throw notFound(`failed to delete sandbox ${quote(id)}`);
  }
  tx.release();
}

/** Errors: notFound. */
function read(db: Database, namespace: string, id: string): Sandbox {
  const sql = "SELECT message FROM sandboxes WHERE namespace = ? AND id = ?";
  const row = db.query<MessageRow, [string, string]>(sql).get(namespace, id);
  if (row !== null) return decode(row);
  requireAny(db, namespace);
  throw notFound(`bucket ${quote(id)} not found`);
}

/** containerd has another text where a namespace never had a sandbox; here it is where it has none now. */
function requireAny(db: Database, namespace: string): void {
  if (db.query("SELECT 1 FROM sandboxes WHERE namespace = ? LIMIT 1").get(namespace) === null) {
    throw notFound("no sandbox buckets");
  }
}

function decode({ message }: MessageRow): Sandbox {
  return fromBinary(SandboxSchema, message);
}

/** A sandbox as it is kept: with these times, a runtime in any case, and no labels of empty value. */
function kept(sandbox: Sandbox, createdAt: Instant, updatedAt: Instant): Sandbox {
  return {
    ...sandbox,
    runtime: sandbox.runtime ?? create(Sandbox_RuntimeSchema),
    labels: labelRecord(labelMap(sandbox.labels)),
    createdAt: createdAt.toTimestamp(),
    updatedAt: updatedAt.toTimestamp(),
  };
}
