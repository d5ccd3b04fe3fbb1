import fs from "node:fs";
import path from "node:path";
import { top } from "./source-files.ts";

/** A Markdown file of ours. */
export interface DocumentFile {
  readonly path: string;
  readonly text: string;
}

/** Every document outside folders that tools fill. */
export function readDocuments(): readonly DocumentFile[] {
  const ours = (file: string): boolean => !/^(node_modules|dist|\.cache)\//.test(file);
  return [...new Bun.Glob("**/*.md").scanSync({ cwd: top, onlyFiles: true })]
    .filter(ours)
    .sort()
    .map((file) => ({ path: file, text: fs.readFileSync(path.join(top, file), "utf8") }));
}

/** Links into the checkout that lead nowhere, as "document: target". */
export function brokenLinks(document: DocumentFile): readonly string[] {
  const prose = document.text.replace(/^```[\s\S]*?^```/gm, "").replace(/`[^`\n]*`/g, "");
  const targets = [...prose.matchAll(/\]\(([^)\s]+)(?:\s+"[^"]*")?\)/g)].map((match) => match[1] ?? "");
  return targets
    .filter((target) => !/^[a-z]+:/.test(target))
    .filter((target) => !linkResolves(document, target))
    .map((target) => `${document.path}: ${target}`);
}

function linkResolves(document: DocumentFile, target: string): boolean {
  const [file = "", anchor] = target.split("#");
  const full = file === "" ? path.join(top, document.path) : path.join(top, path.dirname(document.path), file);
  if (!fs.existsSync(full)) return false;
  return anchor === undefined || !full.endsWith(".md") || anchorsOf(fs.readFileSync(full, "utf8")).includes(anchor);
}

/** The anchors that a forge makes of a document's headings. */
function anchorsOf(text: string): readonly string[] {
  return [...text.matchAll(/^#+\s+(.*)$/gm)].map((match) =>
    (match[1] ?? "")
      .trim()
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, "")
      .replace(/\s/g, "-"),
  );
}

/** The second-level headings of a document, in order. */
export function headingsOf(text: string): readonly string[] {
  return [...text.matchAll(/^## (.*)$/gm)].map((match) => (match[1] ?? "").trim());
}
