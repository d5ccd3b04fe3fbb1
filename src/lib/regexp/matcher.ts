import { type Assertion, type CharSet, type RegexpNode, RegexpSyntaxError } from "./syntax.ts";

/** The most instructions of a program: with the longest label it then takes some 20 ms, and hardly anything wants more than 100. */
const maxInstructions = 2000;

type Instruction =
  | { readonly op: "set"; readonly set: CharSet; readonly next: number }
  | { readonly op: "assert"; readonly at: Assertion; readonly next: number }
  | { readonly op: "fork"; readonly next: number; readonly other: number }
  | { readonly op: "match" };

/** Tells whether a text has a match anywhere. Takes time in proportion to the text's length, whatever the pattern. */
export type Matcher = (text: string) => boolean;

/** Compiles a tree. Errors: RegexpSyntaxError when it would be too large. */
export function compileMatcher(node: RegexpNode): Matcher {
  const program: Instruction[] = [{ op: "match" }];
  const start = emit(program, node, 0);
  return (text) => run(program, start, text);
}

/** Writes a node so that it goes on at `next`, from its end to its start; returns where it starts. */
function emit(program: Instruction[], node: RegexpNode, next: number): number {
  switch (node.kind) {
    case "empty":
      return next;
    case "set":
      return push(program, { op: "set", set: node.set, next });
    case "assert":
      return push(program, { op: "assert", at: node.at, next });
    case "sequence":
      return node.parts.reduceRight((after, part) => emit(program, part, after), next);
    case "choice":
      return node.parts
        .map((part) => emit(program, part, next))
        .reduceRight((other, first) => push(program, { op: "fork", next: first, other }));
    case "repeat":
      return emitRepeat(program, node.part, node.min, node.max, next);
  }
}

function emitRepeat(program: Instruction[], part: RegexpNode, min: number, max: number, next: number): number {
  let at = next;
  if (max === Number.POSITIVE_INFINITY) {
    const loop = push(program, { op: "fork", next, other: next });
    program[loop] = { op: "fork", next: emit(program, part, loop), other: next };
    at = loop;
  } else {
    for (let count = min; count < max; count++)
      at = push(program, { op: "fork", next: emit(program, part, at), other: next });
  }
  for (let count = 0; count < min; count++) {
    const before = at;
    at = emit(program, part, before);
    // A part that takes no instructions takes none a thousand times either, but nested ones would take for ever.
    if (at === before) break;
  }
  return at;
}

function push(program: Instruction[], instruction: Instruction): number {
  if (program.length >= maxInstructions) throw new RegexpSyntaxError("expression too large");
  return program.push(instruction) - 1;
}

/** All threads step together over the text (Thompson's way), so none is ever tried twice. */
function run(program: readonly Instruction[], start: number, text: string): boolean {
  const seen = new Int32Array(program.length).fill(-1);
  let current: number[] = [];
  let previous = -1;
  let step = 0;
  for (let index = 0; index <= text.length; step++) {
    const char = text.codePointAt(index) ?? -1;
    current.push(start);
    const threads = follow(program, current, seen, step, previous, char);
    if (threads === undefined) return true;
    current = [];
    for (const thread of threads) {
      const instruction = program[thread];
      if (instruction?.op === "set" && char >= 0 && instruction.set(char)) current.push(instruction.next);
    }
    previous = char;
    index += char > 0xffff ? 2 : 1;
  }
  return false;
}

/** The threads that wait for a character, from those that are about to run; undefined when one has matched. */
function follow(
  program: readonly Instruction[],
  stack: number[],
  seen: Int32Array,
  step: number,
  previous: number,
  char: number,
): readonly number[] | undefined {
  const waiting: number[] = [];
  for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
    if (seen[at] === step) continue;
    seen[at] = step;
    const instruction = program[at] as Instruction;
    if (instruction.op === "match") return undefined;
    if (instruction.op === "set") waiting.push(at);
    else if (instruction.op === "fork") stack.push(instruction.next, instruction.other);
    else if (holds(instruction.at, previous, char)) stack.push(instruction.next);
  }
  return waiting;
}

const newline = 0x0a;

function holds(at: Assertion, previous: number, char: number): boolean {
  switch (at) {
    case "textStart":
      return previous === -1;
    case "textEnd":
      return char === -1;
    case "lineStart":
      return previous === -1 || previous === newline;
    case "lineEnd":
      return char === -1 || char === newline;
    case "wordBoundary":
      return isWord(previous) !== isWord(char);
    case "noWordBoundary":
      return isWord(previous) === isWord(char);
  }
}

function isWord(char: number): boolean {
  return (
    (char >= 0x30 && char <= 0x39) || (char >= 0x41 && char <= 0x5a) || (char >= 0x61 && char <= 0x7a) || char === 0x5f
  );
}
