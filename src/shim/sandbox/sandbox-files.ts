import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { FaultError } from "../../lib/faults.ts";
import { Instant } from "../../lib/instant.ts";
import { isErrno } from "../../sys/index.ts";

/** What the host keeps of a sandbox. Source of the version rule: a file of another schema is not read. */
export interface SandboxRecord {
  readonly schema: 1;
  readonly namespace: string;
  readonly id: string;
  readonly bundle: string;
  /** Its own process is then the init of a task of the same name. */
  readonly hasProcess: boolean;
  readonly phase: "creating" | "created" | "ready" | "stopped";
  /** RFC 3339. */
  readonly createdAt: string;
  /** When one without a process was stopped; empty before that. */
  readonly stoppedAt: string;
}

const suffix = ".json";

/** The folder of sandboxes' files within the host's own: `sandboxes/<namespace>/<id>.json`. */
const folderOf = (hostFolder: string): string => join(hostFolder, "sandboxes");

/** Whether a task is the process of a sandbox, which is then told of as a sandbox only. */
export function isOfSandbox(hostFolder: string, namespace: string, id: string): boolean {
  return existsSync(pathOf(hostFolder, namespace, id));
}

/** Writes a record in place of the last one; a crash leaves either. */
export function saveSandbox(hostFolder: string, record: SandboxRecord): void {
  const path = pathOf(hostFolder, record.namespace, record.id);
  mkdirSync(join(folderOf(hostFolder), record.namespace), { recursive: true, mode: 0o700 });
  writeFileSync(`${path}.new`, JSON.stringify(record), { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

export function removeSandbox(hostFolder: string, namespace: string, id: string): void {
  rmSync(pathOf(hostFolder, namespace, id), { force: true });
}

/** One sandbox on disk: its record, or why there is none to be read. */
export interface FoundSandbox {
  readonly namespace: string;
  readonly id: string;
  readonly record: SandboxRecord | FaultError;
}

/** Every sandbox on disk. Effects: takes leftovers of half-made writes away. */
export function loadSandboxes(hostFolder: string): readonly FoundSandbox[] {
  const found: FoundSandbox[] = [];
  for (const namespace of entries(folderOf(hostFolder))) {
    for (const file of entries(join(folderOf(hostFolder), namespace))) {
      const path = join(folderOf(hostFolder), namespace, file);
      const id = file.slice(0, -suffix.length);
      if (!file.endsWith(suffix)) rmSync(path, { recursive: true, force: true });
      else found.push({ namespace, id, record: readRecord(path, namespace, id) });
    }
  }
  return found;
}

function readRecord(path: string, namespace: string, id: string): SandboxRecord | FaultError {
  try {
    const value = JSON.parse(readFileSync(path, "utf8")) as StoredRecord | null;
    if (value?.schema === 1 && value.namespace === namespace && value.id === id) return withTimes(value);
    return new FaultError("dataLoss", `sandbox state ${path}: of another schema or sandbox`);
  } catch (error) {
    return new FaultError("dataLoss", `sandbox state ${path}`, { cause: error });
  }
}

type StoredRecord = Partial<SandboxRecord> & { readonly createdAtMs?: number; readonly stoppedAtMs?: number };

/** The earlier form told times in milliseconds, and 0 for none. */
function withTimes({ createdAtMs = 0, stoppedAtMs = 0, ...record }: StoredRecord): SandboxRecord {
  const createdAt = record.createdAt ?? Instant.ofMs(createdAtMs).toString();
  const stoppedAt = record.stoppedAt ?? (stoppedAtMs === 0 ? "" : Instant.ofMs(stoppedAtMs).toString());
  return { ...(record as SandboxRecord), createdAt, stoppedAt };
}

function pathOf(hostFolder: string, namespace: string, id: string): string {
  return join(folderOf(hostFolder), namespace, `${id}${suffix}`);
}

function entries(folder: string): readonly string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
}
