import { describe, expect, test } from "bun:test";
import { commands } from "./commands.ts";
import { manPages, roff } from "./man-pages.ts";

const pages = await manPages();

describe("roff", () => {
  test.each([
    ["--dry-run", "\\-\\-dry\\-run"],
    ["a\\b", "a\\eb"],
    [".dot", "\\&.dot"],
    ["'quoted'", "\\(aqquoted\\(aq"],
    ["one\n  .two", "one .two"],
    ["é ~ ^ `", "\\[u00E9] \\(ti \\(ha \\(ga"],
  ])("writes %p so that it is printed as it is", (text, want) => {
    expect(roff(text)).toBe(want);
  });
});

describe("manPages", () => {
  test("tells of every command, under its other names too", () => {
    const text = (pages.get("lighter.1") ?? "").replaceAll("\\-", "-");
    for (const [name, { aliasOf }] of Object.entries(commands)) {
      if (aliasOf === undefined) expect(text).toMatch(new RegExp(`^\\.SS lighter ${name}( |$)`, "m"));
      else expect(text).toMatch(new RegExp(`^Also as .*lighter ${name}[,.]`, "m"));
    }
  });

  test.each([...pages])("%s has nothing but requests that there are, and plain letters", (name, text) => {
    const title = name.replace(/\..*/, "").toUpperCase();
    expect(text).toStartWith(`.TH ${title} ${name.slice(-1)} "" "lighter `);
    expect(text).toMatch(/^[\n\u0020-\u007e]*$/);
    const requests = text.split("\n").filter((line) => /^[.']/.test(line));
    const known = /^\.(TH|SH|SS|TP|PP|BR?|RS|RE|nf|fi|nh|ad)( |$)/;
    expect(requests.filter((line) => !known.test(line))).toEqual([]);
    expect(text.match(/\\(?![-e&]|\((?:aq|ga|ha|ti|dq)|\[u)/g)).toBeNull();
    expect(text.match(/^\.nf$/gm)?.length).toBe(text.match(/^\.fi$/gm)?.length);
    expect(text.match(/^\.SH NAME\n/gm)).toHaveLength(1);
  });

  // Debian's groff-base is on few servers; the structure is held above without it.
  test.skipIf(Bun.which("groff") === null).each([...pages])("groff has nothing to say against %s", async (_, text) => {
    const groff = Bun.spawn(["groff", "-man", "-ww", "-Tutf8"], {
      stdin: Buffer.from(text),
      stdout: "pipe",
      stderr: "pipe",
    });
    const [printed, complaints, code] = await Promise.all([groff.stdout.text(), groff.stderr.text(), groff.exited]);
    expect({ complaints, code }).toEqual({ complaints: "", code: 0 });
    expect(printed).toContain("NAME".replaceAll(/./g, "$&\b$&"));
  });
});
