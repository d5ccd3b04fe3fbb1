import { below, mergeDocuments, movedKey } from "./merge.ts";
import { type ConfigPath, isTable } from "./schema.ts";
import { pathKey } from "./toml-lines.ts";

export interface Origin {
  readonly file: string;
  readonly line: number;
}

type Table = Readonly<Record<string, unknown>>;

/** A configuration's values, each with the file and line it came from. Immutable: every change makes another. */
export class ConfigDocument {
  readonly values: Table;
  readonly #origins: ReadonlyMap<string, Origin>;

  constructor(values: Table = {}, origins: ReadonlyMap<string, Origin> = new Map()) {
    this.values = values;
    this.#origins = origins;
  }

  /** What stands at that path; undefined when nothing does. */
  get(path: ConfigPath): unknown {
    let value: unknown = this.values;
    for (const key of path) {
      if (Array.isArray(value)) value = value[Number(key)];
      else value = isTable(value) && Object.hasOwn(value, key) ? value[key] : undefined;
    }
    return value;
  }

  /** Where that key stands, or else the closest table around it. */
  origin(path: ConfigPath): Origin | undefined {
    for (let depth = path.length; depth > 0; depth--) {
      const found = this.#origins.get(pathKey(path.slice(0, depth)));
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** With that value there, said to come from where `from` stands. */
  put(path: ConfigPath, value: unknown, from?: ConfigPath): ConfigDocument {
    const origins = new Map(this.#origins);
    const origin = from === undefined ? undefined : this.origin(from);
    if (origin !== undefined) origins.set(pathKey(path), origin);
    return new ConfigDocument(putIn(this.values, path.map(String), value), origins);
  }

  remove(path: ConfigPath): ConfigDocument {
    return new ConfigDocument(removeFrom(this.values, path.map(String)), this.#origins);
  }

  /** Moves what stands at `from` to `to`, lines and all. A value that is there already stays, and `from` just goes. */
  move(from: ConfigPath, to: ConfigPath): ConfigDocument {
    const value = this.get(from);
    if (value === undefined) return this;
    const gone = this.remove(from);
    if (this.get(to) !== undefined) return gone;
    const origins = new Map(this.#origins);
    for (const [key, origin] of below(this.#origins, from)) origins.set(movedKey(key, from, to), origin);
    return new ConfigDocument(putIn(gone.values, to.map(String), value), origins);
  }

  /** With another document over this one, by containerd's rules. */
  mergedWith(later: ConfigDocument): ConfigDocument {
    if (this.#origins.size === 0 && Object.keys(this.values).length === 0) return later;
    const merged = mergeDocuments(
      { values: this.values, origins: this.#origins },
      { values: later.values, origins: later.#origins },
    );
    return new ConfigDocument(merged.values, merged.origins);
  }
}

function putIn(table: Table, path: readonly string[], value: unknown): Table {
  const [key, ...rest] = path;
  if (key === undefined) return isTable(value) ? value : table;
  const below = table[key];
  const put = rest.length === 0 ? value : putIn(isTable(below) ? below : {}, rest, value);
  return Object.fromEntries([...Object.entries(table).filter(([name]) => name !== key), [key, put]]);
}

function removeFrom(table: Table, path: readonly string[]): Table {
  const [key, ...rest] = path;
  const entries = Object.entries(table).flatMap(([name, value]): [string, unknown][] => {
    if (name !== key) return [[name, value]];
    return rest.length > 0 && isTable(value) ? [[name, removeFrom(value, rest)]] : [];
  });
  return Object.fromEntries(entries);
}
