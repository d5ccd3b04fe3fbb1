import { existsSync } from "node:fs";
import { dirname, resolve } from "node:path";

/** Where compiled programs have their files. Source: Bun, standalone executables. */
const compiledPrefix = "/$bunfs/";

/** Where the programs are looked for. */
export interface ProgramsPlace {
  /** The folder of this file, of a checkout's or within a compiled executable. */
  readonly source: string;
  readonly executable: string;
}

/** As it was at the start: a package manager that replaces the executable does not change its path. */
const here: ProgramsPlace = { source: import.meta.dir, executable: process.execPath };

export interface OwnProgram {
  readonly command: readonly string[];
  /** What it needs in its environment to know who it is. */
  readonly env: Readonly<Record<string, string>>;
}

/**
 * One of our own programs, by its name: of this checkout, or beside this executable under its own name, or this executable
 * itself under it. Nothing else knows where they lie.
 */
export function ownProgram(name: string, { source, executable }: ProgramsPlace = here): OwnProgram {
  if (!source.startsWith(compiledPrefix)) return { command: [resolve(source, "../../bin", name)], env: {} };
  const beside = resolve(dirname(executable), name);
  if (existsSync(beside)) return { command: [beside], env: {} };
  // One executable under several names goes by this variable where its own name is another's.
  return { command: [executable], env: { LIGHTER_PROGRAM: name } };
}
