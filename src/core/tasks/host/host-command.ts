import { existsSync } from "node:fs";
import { dirname, resolve } from "node:path";

const program = "containerd-shim-lighter-v2";

/** Where compiled programs have their files. Source: Bun, standalone executables. */
const compiledPrefix = "/$bunfs/";

/** The host's program: of this checkout, or beside this executable under its own name, or this executable itself under it. */
export function hostCommand(
  source: string = import.meta.dir,
  executable: string = process.execPath,
): { readonly command: readonly string[]; readonly env: Readonly<Record<string, string>> } {
  if (!source.startsWith(compiledPrefix)) {
    return { command: [resolve(source, "../../../../bin", program)], env: {} };
  }
  const beside = resolve(dirname(executable), program);
  if (existsSync(beside)) return { command: [beside], env: {} };
  // One executable under several names goes by this variable where its own name is another's.
  return { command: [executable], env: { LIGHTER_PROGRAM: program } };
}

/** The daemon's own program, which shims start to publish events. */
export function publishCommand(source: string = import.meta.dir, executable: string = process.execPath): string {
  if (!source.startsWith(compiledPrefix)) return resolve(source, "../../../../bin/lighterd");
  const beside = resolve(dirname(executable), "lighterd");
  return existsSync(beside) ? beside : executable;
}
