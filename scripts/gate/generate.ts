import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { toolEnv, top } from "./steps.ts";

/**
 * Writes the code of proto/ to src/gen below a folder. Shape: undefined, or why not, for people.
 * Effects: what protoc-gen-es writes makes its descriptors by our own functions instead of its library's, which tell
 * names without making anything. Source: src/lib/descriptors.ts.
 */
export async function generate(folder: string): Promise<string | undefined> {
  const command = ["buf", "generate", "-o", folder];
  const child = Bun.spawn(command, { cwd: top, env: toolEnv(), stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  if (code !== 0) return `${stdout}${stderr}`;
  const gen = join(folder, "src/gen");
  for (const name of readdirSync(gen, { recursive: true, encoding: "utf8" })) {
    if (!name.endsWith("_pb.ts")) continue;
    const file = join(gen, name);
    writeFileSync(file, withOwnDescriptors(readFileSync(file, "utf8"), name.split("/").length));
  }
  return undefined;
}

const library = /^import (\{[^}]*\}) from "@bufbuild\/protobuf\/codegenv2";$/m;
/** Where a name stands, and where a descriptor is made that lacks it; a name comes before each. */
const named =
  /(?:Describes the|@generated from) (?<kind>message|enum|service) (?<name>[\w.]*\w)|\b(?<call>message|enum|service)Desc\(\w+, /g;

/** `depth` is how many folders up src/lib's neighbour lies. */
function withOwnDescriptors(text: string, depth: number): string {
  const names = new Map<string, string>();
  return text
    .replace(library, (_, what: string) => `import ${what} from "${"../".repeat(depth)}lib/descriptors.ts";`)
    .replace(named, (found: string, ...rest: unknown[]) => {
      const { kind, name, call } = rest.at(-1) as Record<string, string | undefined>;
      if (kind !== undefined && name !== undefined) names.set(kind, name);
      return call === undefined ? found : `${found}${JSON.stringify(names.get(call))}, `;
    });
}
