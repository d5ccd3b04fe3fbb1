import fs from "node:fs/promises";
import path from "node:path";
import { toolEnv } from "./steps.ts";

/** A part of the whole run: a script of steps that prints "ok" and "FAIL" lines, or files for `bun test`. */
export type TestGroup =
  | { readonly name: string; readonly kind: "steps"; readonly script: string }
  | {
      readonly name: string;
      readonly kind: "tests";
      readonly paths: readonly string[];
      /** Files in processes of their own, one for each processor. */
      readonly parallel: boolean;
      /** For one test. */
      readonly timeoutMs: number;
    };

export interface Totals {
  readonly passed: number;
  readonly failed: number;
  /** "name" of each, which says what it needs. */
  readonly skips: readonly string[];
  /** The files in which a test failed, as `bun test` names them; empty also where a run broke without saying where. */
  readonly failedFiles: readonly string[];
}

export interface GroupResult extends Totals {
  readonly name: string;
  readonly seconds: number;
}

export const emptyTotals: Totals = { passed: 0, failed: 0, skips: [], failedFiles: [] };

/** The longest that a group may take before it counts as hung. */
const groupTimeoutMs = 15 * 60_000;

/** Runs one group, its output passed through. A group that broke without saying which test failed counts one failure. */
export async function runGroup(group: TestGroup, places: { top: string; scratch: string }): Promise<GroupResult> {
  const started = performance.now();
  const totals = group.kind === "steps" ? await runSteps(group.script, places) : await runTests(group, places);
  return { name: group.name, ...totals, seconds: (performance.now() - started) / 1000 };
}

async function runSteps(script: string, places: { top: string; scratch: string }): Promise<Totals> {
  const { code, output } = await runPassing(["bun", script], places);
  const passed = [...output.matchAll(/^ok {3}/gm)].length;
  const failed = [...output.matchAll(/^FAIL /gm)].length;
  return { passed, failed: code !== 0 ? Math.max(failed, 1) : failed, skips: [], failedFiles: [] };
}

/** Runs the files of a group. Shape: `only` names the files to run of it. */
export async function runTests(
  group: Extract<TestGroup, { kind: "tests" }>,
  places: { top: string; scratch: string },
  only?: readonly string[],
): Promise<Totals> {
  const report = path.join(places.scratch, `${group.name}.xml`);
  const paths = only ?? (await existing(group.paths, places.top));
  const flags = ["--only-failures", `--timeout=${group.timeoutMs}`, "--reporter=junit", `--reporter-outfile=${report}`];
  // Paths and not words: a bare word would match every test file whose path contains it, node_modules too.
  const command = [
    "bun",
    "test",
    ...flags,
    ...(group.parallel ? ["--parallel"] : []),
    ...paths.map((name) => `./${name}`),
  ];
  const { code } = await runPassing(command, places);
  const text = await fs.readFile(report, "utf8").catch(() => ""); // it crashed before it could write one
  await fs.rm(report, { force: true });
  const totals = readReport(text);
  return code !== 0 && totals.failed === 0 ? { ...totals, failed: 1 } : totals;
}

/** Sums a JUnit report. */
export function readReport(text: string): Totals {
  const cases = [...text.matchAll(/<testcase\b([^>]*?)(\/>|>([\s\S]*?)<\/testcase>)/g)];
  let passed = 0;
  let failed = 0;
  const skips: string[] = [];
  const failedFiles = new Set<string>();
  for (const [, attributes = "", , body = ""] of cases) {
    if (body.includes("<failure") || body.includes("<error")) {
      failed += 1;
      failedFiles.add(attribute(attributes, "file"));
    } else if (body.includes("<skipped"))
      skips.push(`${attribute(attributes, "classname")} > ${attribute(attributes, "name")}`);
    else passed += 1;
  }
  return { passed, failed, skips, failedFiles: [...failedFiles] };
}

function attribute(attributes: string, key: string): string {
  return unescapeXml(new RegExp(`\\b${key}="([^"]*)"`).exec(attributes)?.[1] ?? "");
}

function unescapeXml(text: string): string {
  const known: Readonly<Record<string, string>> = { lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" };
  return text.replace(/&(lt|gt|quot|apos|amp);/g, (whole, name: string) => known[name] ?? whole);
}

async function existing(paths: readonly string[], top: string): Promise<readonly string[]> {
  const found = await Promise.all(paths.map((name) => Array.fromAsync(new Bun.Glob(`${name}/**/*.test.ts`).scan(top))));
  return paths.filter((_, index) => (found[index] ?? []).length > 0);
}

/** Runs a command, shows what it says as it comes, and keeps it. */
async function runPassing(
  command: readonly string[],
  places: { top: string; scratch: string },
): Promise<{ code: number; output: string }> {
  const child = Bun.spawn([...command], {
    cwd: places.top,
    env: { ...toolEnv(), TMPDIR: places.scratch },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const late = setTimeout(() => {
    console.log(`no end after ${groupTimeoutMs / 60_000} minutes: ${command.join(" ")}`);
    child.kill("SIGKILL");
  }, groupTimeoutMs);
  const [stdout, stderr, code] = await Promise.all([pass(child.stdout), pass(child.stderr), child.exited]);
  clearTimeout(late);
  return { code, output: `${stdout}${stderr}` };
}

async function pass(stream: ReadableStream<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  let kept = "";
  for await (const chunk of stream) {
    const text = decoder.decode(chunk, { stream: true });
    process.stdout.write(text);
    kept += text;
  }
  return kept;
}
