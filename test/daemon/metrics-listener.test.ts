import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { serveMetrics } from "../../src/daemon/metrics/index.ts";
import { silentLogger } from "../../src/lib/log.ts";
import { createKernel } from "../../src/sys/index.ts";
import { waitFor } from "../support/index.ts";

test("a page that nobody reads gives its place back in time", async () => {
  const folder = mkdtempSync(join(tmpdir(), "lm-"));
  using stack = new DisposableStack();
  stack.defer(() => rmSync(folder, { recursive: true }));
  const sent: number[] = [];
  let [isEndless, open] = [true, 0];
  const page = {
    async *text(): AsyncGenerator<string, void, undefined> {
      open += 1;
      try {
        do yield "a 1\n".repeat(4096);
        while (isEndless);
      } finally {
        open -= 1;
      }
    },
    sent: (code: number) => void sent.push(code),
  };
  const address = join(folder, "m.sock");
  await using _served = serveMetrics(createKernel().listenUnix(address), page, silentLogger, 500);
  for (let n = 0; n < 8; n++) {
    const reader = connect({ path: address }).pause();
    stack.defer(() => reader.destroy());
    reader.on("error", () => {});
    reader.write("GET /v1/metrics HTTP/1.1\r\nhost: m\r\n\r\n");
  }
  await waitFor("all of them to be cut off", () => sent.length === 8, 30_000);
  expect(sent).toEqual(Array(8).fill(500));
  await waitFor("their pages to end", () => open === 0, 30_000);
  isEndless = false;
  const response = await fetch("http://m/v1/metrics", { unix: address });
  expect([response.status, (await response.text()).length]).toEqual([200, 16_384]);
}, 60_000);
