import type { Difference } from "./differences.ts";
import type { Outcome } from "./run-scenario.ts";
import type { Scenario, Step } from "./script.ts";

/** What is wrong with a scenario's outcomes, one text for each call whose answers are not as they should be. */
export function compareOutcomes(
  scenario: Scenario,
  mine: readonly Outcome[],
  theirs: readonly Outcome[],
): readonly string[] {
  return scenario.steps.flatMap((step, index) => {
    const problem = compareTexts(step, mine[index]?.text ?? "", theirs[index]?.text ?? "");
    return problem === undefined ? [] : [`${scenario.service} ${scenario.name}: ${step.name}\n${problem}`];
  });
}

/** The differences that a step names. */
export function differencesOf({ options: { differs } }: Step): readonly Difference[] {
  if (differs === undefined) return [];
  return Array.isArray(differs) ? differs : [differs as Difference];
}

function compareTexts(step: Step, mine: string, theirs: string): string | undefined {
  let wanted = theirs;
  for (const { name, rewrites } of differencesOf(step)) {
    for (const [from, to] of rewrites) {
      const rewritten = wanted.replace(from, to);
      if (rewritten === wanted) return `no difference any more: ${name}\n${indented(theirs)}`;
      wanted = rewritten;
    }
  }
  return mine === wanted ? undefined : lineDiff(wanted, mine);
}

/** Lines of the first that the second has not, and the other way round, each with what surrounds it. */
function lineDiff(wanted: string, got: string): string {
  const [a, b] = [wanted.split("\n"), got.split("\n")];
  const common = commonLines(a, b);
  const lines: string[] = [];
  let [i, j] = [0, 0];
  for (const [x, y] of [...common, [a.length, b.length] as const]) {
    while (i < x) lines.push(`- ${a[i++] ?? ""}`);
    while (j < y) lines.push(`+ ${b[j++] ?? ""}`);
    if (x < a.length) lines.push(`  ${a[x] ?? ""}`);
    [i, j] = [x + 1, y + 1];
  }
  return indented(nearChanges(lines).join("\n"));
}

/** The longest sequence of lines that both have, as pairs of places. */
function commonLines(a: readonly string[], b: readonly string[]): readonly (readonly [number, number])[] {
  const lengths = Array.from({ length: a.length + 1 }, () => new Uint32Array(b.length + 1));
  for (let i = a.length - 1; i >= 0; i--) {
    for (let j = b.length - 1; j >= 0; j--) {
      lengths[i]![j] = a[i] === b[j] ? lengths[i + 1]![j + 1]! + 1 : Math.max(lengths[i + 1]![j]!, lengths[i]![j + 1]!);
    }
  }
  const pairs: [number, number][] = [];
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    if (a[i] === b[j]) pairs.push([i++, j++]);
    else if (lengths[i + 1]![j]! >= lengths[i]![j + 1]!) i++;
    else j++;
  }
  return pairs;
}

const around = 2;

function nearChanges(lines: readonly string[]): readonly string[] {
  const changed = lines.flatMap((line, index) => (line.startsWith("  ") ? [] : [index]));
  return lines.filter((_, index) => changed.some((at) => Math.abs(at - index) <= around));
}

function indented(text: string): string {
  return text.replaceAll(/^/gm, "    ");
}
