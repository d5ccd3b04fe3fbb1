import { appendFileSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { FaultError, messageOf } from "../../lib/faults.ts";
import { isErrno } from "../../sys/index.ts";
import { parseTaskRecord, type TaskRecord } from "./records.ts";

/** Above this size a file is written anew with its last line alone. */
const compactAboveBytes = 128 << 10;

/** A task found on disk: read, or with the reason why it could not be. */
export type FoundTask =
  | { readonly namespace: string; readonly id: string; readonly record: TaskRecord }
  | {
      readonly namespace: string;
      readonly id: string;
      readonly reason: string;
      /** The newest earlier state that can be read. */
      readonly earlier: TaskRecord | undefined;
    };

/**
 * The tasks' state files: `<folder>/<namespace>/<id>.jsonl`.
 * Shape: one line a state, the last whole one counts. A state is one append, so that a crash leaves the one before it.
 * Effects: not synced: containers do not outlive a power cut, and neither need their states (see docs/adr).
 */
export class StateFiles {
  readonly #folder: string;
  readonly #sizes = new Map<string, number>();

  constructor(folder: string) {
    this.#folder = folder;
    mkdirSync(folder, { recursive: true, mode: 0o700 });
  }

  save(record: TaskRecord): void {
    const path = this.#path(record.namespace, record.id);
    const line = `${JSON.stringify(record)}\n`;
    const known = this.#sizes.get(path);
    if (known === undefined) mkdirSync(join(this.#folder, record.namespace), { recursive: true, mode: 0o700 });
    if (known === undefined || known > compactAboveBytes) this.#replace(path, line);
    else this.#append(path, line, known);
  }

  remove(namespace: string, id: string): void {
    const path = this.#path(namespace, id);
    this.#sizes.delete(path);
    rmSync(path, { force: true });
  }

  /** Every task on disk. Effects: takes leftovers of half-made writes away. */
  *load(): Generator<FoundTask, void, undefined> {
    for (const namespace of folders(this.#folder)) {
      for (const file of readdirSync(join(this.#folder, namespace))) {
        if (!file.endsWith(suffix)) rmSync(join(this.#folder, namespace, file), { recursive: true, force: true });
        else yield this.#read(namespace, file.slice(0, -suffix.length));
      }
    }
  }

  #read(namespace: string, id: string): FoundTask {
    const path = this.#path(namespace, id);
    let content = "";
    try {
      content = readFileSync(path, "utf8");
      const record = parseTaskRecord(lastState(content));
      if (record.namespace !== namespace || record.id !== id) {
        throw new FaultError("dataLoss", `task state: holds ${record.namespace}/${record.id}`);
      }
      // An unfinished line must not run into the next one.
      this.#sizes.set(path, content.endsWith("\n") ? content.length : Number.POSITIVE_INFINITY);
      return { namespace, id, record };
    } catch (error) {
      return { namespace, id, reason: messageOf(error), earlier: earlierState(content, namespace, id) };
    }
  }

  #append(path: string, line: string, size: number): void {
    appendFileSync(path, line);
    this.#sizes.set(path, size + line.length);
  }

  #replace(path: string, line: string): void {
    writeFileSync(`${path}.new`, line, { mode: 0o600 });
    renameSync(`${path}.new`, path);
    this.#sizes.set(path, line.length);
  }

  #path(namespace: string, id: string): string {
    return join(this.#folder, namespace, `${id}${suffix}`);
  }
}

const suffix = ".jsonl";

/** The last line that is whole and parses. */
function lastState(content: string): unknown {
  const lines = content.split("\n");
  // What follows the last newline is a write that a crash cut off.
  lines.pop();
  const line = lines.at(-1);
  if (line === undefined) throw new FaultError("dataLoss", "task state: no whole line");
  return JSON.parse(line);
}

function earlierState(content: string, namespace: string, id: string): TaskRecord | undefined {
  for (const line of content.split("\n").toReversed()) {
    try {
      const record = parseTaskRecord(JSON.parse(line));
      if (record.namespace === namespace && record.id === id) return record;
    } catch {
      // Broken as well: the one before it may not be.
    }
  }
  return undefined;
}

function folders(path: string): string[] {
  try {
    return readdirSync(path, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [entry.name] : []));
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
}
