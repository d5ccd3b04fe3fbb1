import { expect, test } from "bun:test";
import { commands, groupNames } from "./commands.ts";
import { printHelp } from "./help.ts";
import type { Output } from "./output.ts";

async function helpOf(name: string, columns = 80): Promise<string> {
  const lines: string[] = [];
  const line = (text: string): void => void lines.push(text);
  const where = { terminal: false, errorTerminal: false, color: false, columns, rows: 0 };
  const output: Output = { line, write: line, note: line, ...where };
  await printHelp(name, output);
  return lines.join("\n");
}

test.each(Object.keys(commands))("lighter %s has help with an example that calls it", async (name) => {
  const text = await helpOf(name);
  expect(text).toStartWith(`Usage:  lighter ${name}`);
  expect(text).toMatch(/\nExamples:\n {2}# .+\n {2}\S/);
  expect(text).toContain("--help");
  for (const line of text.split("\n")) expect(line.length).toBeLessThanOrEqual(110);
});

test.each(["", ...groupNames])("the overview %p names every command in it", async (group) => {
  const text = await helpOf(group);
  for (const [name, { aliasOf, group: kind }] of Object.entries(commands)) {
    if (aliasOf !== undefined || !name.startsWith(group)) continue;
    // Of the stores only the groups are told in full; their commands are words of a sentence.
    const whole = group === "" && kind !== "stores" ? name : name.slice(name.indexOf(" ") + 1);
    expect(text).toContain(whole);
  }
});
