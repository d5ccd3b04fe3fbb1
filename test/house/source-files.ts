import fs from "node:fs";
import path from "node:path";

/** The checkout's top folder. */
export const top: string = path.resolve(import.meta.dir, "../..");

/** One file of ours, by its path from the top. */
export interface SourceFile {
  readonly path: string;
  readonly text: string;
}

const sourceFolders = ["bin", "src", "test", "bench", "scripts"];

/** Every TypeScript and JavaScript file that people write; generated ones are left out. */
export function readSources(): readonly SourceFile[] {
  return sourceFolders
    .filter((folder) => fs.existsSync(path.join(top, folder)))
    .flatMap((folder) => [...new Bun.Glob(`${folder}/**/*.{ts,mjs}`).scanSync({ cwd: top, onlyFiles: true })])
    .filter((file) => !file.startsWith("src/gen/"))
    .sort()
    .map((file) => ({ path: file, text: fs.readFileSync(path.join(top, file), "utf8") }));
}

/** The same files counted another way, so that a broken glob cannot turn a check green. */
export function countSources(): number {
  return sourceFolders
    .flatMap((folder) => {
      const names = fs.existsSync(path.join(top, folder))
        ? fs.readdirSync(path.join(top, folder), { recursive: true })
        : [];
      return names.map((name) => `${folder}/${String(name)}`);
    })
    .filter((file) => /\.(ts|mjs)$/.test(file) && !file.startsWith("src/gen/")).length;
}

/** Everything a file imports or exports from, type-only imports and import() too, in order. */
export function importsOf(text: string): readonly string[] {
  const code = text.replace(/\/\*[\s\S]*?\*\//g, "").replace(/^\s*\/\/.*$/gm, "");
  const pattern = /\b(?:import|export)\b[^"'`;()]*?\bfrom\s*["']([^"']+)["']|\bimport\s*\(?\s*["']([^"']+)["']/g;
  return [...code.matchAll(pattern)].map((match) => match[1] ?? match[2] ?? "");
}
