import { describe, expect } from "bun:test";
import fs from "node:fs/promises";
import path from "node:path";
import { busyboxImage, type Daemon, sharedDaemon, waitFor } from "../support/index.ts";
import { lighterOk } from "./support.ts";

const total = 1_000_000;
/** Lines that show where they are torn: a number, and words after it. */
const rest = "of a log that is written at full speed";

/**
 * Prints without a pause, but does not end before the daemon was restarted twice: at two lines it waits for the word that a
 * restart has begun, which is given before the next daemon is up.
 */
const script = `i=0
while [ $i -lt ${total} ]; do
  i=$((i+1)); echo "$i ${rest}"
  case $i in
    500000) until [ -e /turns/1 ]; do sleep 0.01; done;;
    900000) until [ -e /turns/2 ]; do sleep 0.01; done;;
  esac
done`;

async function linesOf(daemon: Daemon, id: string): Promise<number> {
  return Number.parseInt(await lighterOk(daemon, ["logs", "-n", "1", id]), 10) || 0;
}

/** Errors: when a line is missing, twice there, or torn. */
function expectWhole(text: string, last: number): void {
  const lines = text.split("\n");
  expect(lines.pop()).toBe("");
  const first = last - lines.length + 1;
  const wrong = lines.findIndex((line, n) => line !== `${first + n} ${rest}`);
  expect(wrong === -1 ? undefined : lines.slice(Math.max(0, wrong - 2), wrong + 2)).toBeUndefined();
}

describe("a log of a million lines", () => {
  const shared = sharedDaemon();

  for (const { name, options, keepsAll } of [
    { name: "bounded by far more", options: ["max-size=10m", "max-file=10"], keepsAll: true },
    { name: "bounded by less", options: ["max-size=4m", "max-file=2"], keepsAll: false },
  ]) {
    shared.test(`is whole though the daemon was killed and restarted meanwhile: ${name}`, async (daemon) => {
      const turns = await fs.mkdtemp(path.join(daemon.workspace.folder, "turns-"));
      const opts = options.flatMap((option) => ["--log-opt", option]);
      const mount = ["-v", `${turns}:/turns`];
      await lighterOk(daemon, ["run", "-d", "--name", "many", ...opts, ...mount, busyboxImage, "sh", "-c", script]);
      await waitFor("the first lines", async () => (await linesOf(daemon, "many")) > 1000);
      await daemon.kill();
      await fs.writeFile(path.join(turns, "1"), "");
      await daemon.start();
      await waitFor("more than half", async () => (await linesOf(daemon, "many")) > total / 2);
      await daemon.stop();
      await fs.writeFile(path.join(turns, "2"), "");
      await daemon.start();
      expect((await lighterOk(daemon, ["wait", "many"])).trim()).toBe("0");
      const text = await lighterOk(daemon, ["logs", "many"]);
      expectWhole(text, total);
      if (keepsAll) expect(text.startsWith("1 ")).toBe(true);
      else expect(text.length).toBeWithin(8 * 1024 ** 2 - 4096, 10 * 1024 ** 2);
      await lighterOk(daemon, ["rm", "many"]);
    });
  }
});
