import { describe, expect, test } from "bun:test";
import fs from "node:fs";
import path from "node:path";
import packageJson from "../../package.json";
import { brokenLinks, headingsOf, readDocuments } from "./documents.ts";
import { top } from "./source-files.ts";

const documents = readDocuments();
const textOf = (file: string): string => fs.readFileSync(path.join(top, file), "utf8");
const records = documents.filter((document) => /^docs\/adr\/\d/.test(document.path));
const recordHeadings = [
  "Context",
  "Options and measurements",
  "Decision",
  "Consequences",
  "What would change our mind",
];

describe("documents", () => {
  test("the ones that a reader looks for are there", () => {
    const wanted = ["README", "ARCHITECTURE", "CONTRIBUTING", "CHANGELOG", "SCOPE", "COMPATIBILITY"];
    expect(wanted.filter((name) => !documents.some((document) => document.path === `${name}.md`))).toEqual([]);
  });

  test("every link into the checkout leads somewhere", () => {
    expect(documents.flatMap(brokenLinks)).toEqual([]);
  });

  test("none names a machine's own folders", () => {
    const named = documents.filter((document) => /(^|[\s(`"'])\/(work|home|farm)\//m.test(document.text));
    expect(named.map((document) => document.path)).toEqual([]);
  });
});

describe("docs/adr", () => {
  test("records are numbered without a gap", () => {
    const numbers = records.map((record) => Number(path.basename(record.path).slice(0, 4)));
    expect(numbers).toEqual(numbers.map((_, index) => index + 1));
    expect(numbers.length).toBeGreaterThanOrEqual(5);
  });

  test.each(records.map((record) => [record.path, record.text]))("%s has the form", (file, text) => {
    expect(text).toMatch(new RegExp(`^# ${Number(path.basename(file).slice(0, 4))}\\. \\S`));
    expect(text).toMatch(/^Status: (proposed|accepted|superseded by \[)/m);
    expect(headingsOf(text)).toEqual(recordHeadings);
  });
});

describe("ARCHITECTURE.md", () => {
  const text = textOf("ARCHITECTURE.md");

  test("every invariant names a test that exists", () => {
    const invariants = text.split(/\n\s*\n/).filter((paragraph) => paragraph.includes("**Invariant:**"));
    expect(invariants.length).toBeGreaterThan(5);
    const untested = invariants.filter((paragraph) => {
      const tests = [...paragraph.matchAll(/`((?:src|test|bin)\/[^`\s]+\.test\.ts)`/g)].map((match) => match[1] ?? "");
      return tests.length === 0 || tests.some((file) => !fs.existsSync(path.join(top, file)));
    });
    expect(untested).toEqual([]);
  });

  test("the code map has a paragraph for every folder of src", () => {
    const folders = fs.readdirSync(path.join(top, "src"));
    expect(folders.filter((folder) => !text.includes(`\`src/${folder}`))).toEqual([]);
  });
});

describe("docs/dependencies.md", () => {
  test("has a line for every dependency, and no other", () => {
    const listed = [...textOf("docs/dependencies.md").matchAll(/^\| `([^`]+)` \|/gm)].map((match) => match[1] ?? "");
    const wanted = [...Object.keys(packageJson.dependencies), ...Object.keys(packageJson.devDependencies)];
    expect(listed.toSorted()).toEqual(wanted.toSorted());
  });

  test("every version is exact", () => {
    const versions = Object.entries({ ...packageJson.dependencies, ...packageJson.devDependencies });
    expect(versions.filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version))).toEqual([]);
  });
});

describe("CHANGELOG.md", () => {
  test("keeps the form of Keep a Changelog", () => {
    const text = textOf("CHANGELOG.md");
    expect(text).toContain("## [Unreleased]");
    const kinds = [...text.matchAll(/^### (.*)$/gm)].map((match) => match[1] ?? "");
    const known = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"];
    expect(kinds.filter((kind) => !known.includes(kind))).toEqual([]);
  });
});
