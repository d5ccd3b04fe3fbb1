import { mkdir, open, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { fromJsonString, toJsonString } from "@bufbuild/protobuf";
import { type Checkpoint, CheckpointSchema } from "../../gen/lighter/checkpoints/v1/checkpoints_pb.ts";

/** What a checkpoint is to be: written down before a container is stopped for it, so that a crash loses no state. */
export interface Draft {
  readonly namespace: string;
  readonly containerLife: string;
  readonly checkpoint: Checkpoint;
}

/** A draft on the disk with the folder of CRIU's images. Disposing removes both. */
export interface OpenDraft extends Draft, AsyncDisposable {
  readonly images: string;
  /** True once the shim host has written everything. */
  isComplete(): Promise<boolean>;
}

/** The drafts of a daemon. */
export interface Drafts {
  /** Effects: durable. */
  create(draft: Draft): Promise<OpenDraft>;
  /** Those of the daemon's earlier lives; what can't be read is removed. */
  load(): Promise<readonly OpenDraft[]>;
}

const draftFile = "draft.json";
/** The host writes this last. Source: src/shim/criu/restore-notes.ts. */
const lastFile = "lighter.json";

/** Keeps drafts in `<root>/io.lighter.checkpoints.v1`. */
export function createDrafts(root: string): Drafts {
  const base = join(root, "io.lighter.checkpoints.v1");
  /** Of this life: a draft may be made while those of earlier lives are still looked through. */
  const own = new Set<string>();
  return {
    async create(draft) {
      const name = crypto.randomUUID();
      own.add(name);
      const folder = join(base, name);
      await mkdir(join(folder, "images"), { recursive: true, mode: 0o700 });
      const { namespace, containerLife, checkpoint } = draft;
      const message = toJsonString(CheckpointSchema, checkpoint);
      await writeDurably(folder, JSON.stringify({ namespace, containerLife, message }));
      await syncFolder(base);
      return opened(folder, draft);
    },
    async load() {
      const found: OpenDraft[] = [];
      for (const name of await namesIn(base)) {
        if (own.has(name)) continue;
        const folder = join(base, name);
        const draft = await readDraft(folder);
        if (draft === undefined) await rm(folder, { recursive: true, force: true });
        else found.push(opened(folder, draft));
      }
      return found;
    },
  };
}

function opened(folder: string, draft: Draft): OpenDraft {
  const images = join(folder, "images");
  return {
    ...draft,
    images,
    isComplete: () => exists(join(images, lastFile)),
    [Symbol.asyncDispose]: () => rm(folder, { recursive: true, force: true }),
  };
}

async function readDraft(folder: string): Promise<Draft | undefined> {
  try {
    const { namespace, containerLife, message } = JSON.parse(await readFile(join(folder, draftFile), "utf8"));
    if (typeof namespace !== "string" || typeof containerLife !== "string") return undefined;
    return { namespace, containerLife, checkpoint: fromJsonString(CheckpointSchema, String(message)) };
  } catch {
    // Never finished, or nobody's: nothing was stopped for it.
    return undefined;
  }
}

async function writeDurably(folder: string, text: string): Promise<void> {
  const path = join(folder, draftFile);
  await using file = await open(`${path}.new`, "w", 0o600);
  await file.writeFile(text);
  await file.sync();
  await rename(`${path}.new`, path);
  await syncFolder(folder);
}

async function syncFolder(path: string): Promise<void> {
  await using folder = await open(path, "r");
  await folder.sync();
}

async function namesIn(path: string): Promise<string[]> {
  return await readdir(path).catch(() => {
    // Not there: no checkpoint was ever made.
    return [];
  });
}

async function exists(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}
