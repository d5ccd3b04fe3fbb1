import { describe, expect, test } from "bun:test";
import { createLogger } from "../lib/log.ts";
import { openHostTracing } from "./host-tracing.ts";

const logger = (lines: string[]) => createLogger({ level: "info", format: "text", write: (line) => lines.push(line) });

/** How many modules of the SDK a process has loaded that opened traces with these variables. */
async function loadedWith(env: Readonly<Record<string, string>>): Promise<number> {
  const script = `
    await import(${JSON.stringify(`${import.meta.dir}/index.ts`)});
    const { openHostTracing } = await import(${JSON.stringify(`${import.meta.dir}/host-tracing.ts`)});
    const { silentLogger } = await import(${JSON.stringify(`${import.meta.dir}/../lib/log.ts`)});
    await openHostTracing(${JSON.stringify(env)}, silentLogger);
    const loaded = Object.keys(require.cache);
    if (loaded.length < 50) throw new Error("it does not tell what is loaded");
    console.log(loaded.filter((path) => path.includes("@opentelemetry")).length);
    process.exit();`;
  const child = Bun.spawn([process.execPath, "-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  return Number(await child.stdout.text());
}

describe("openHostTracing", () => {
  test("loads nothing that sends traces where no variable asks for them", async () => {
    expect(await loadedWith({ OTEL_SERVICE_NAME: "x" })).toBe(0);
    expect(await loadedWith({ OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:1" })).toBeGreaterThan(0);
  });

  test("tells of variables that make no sense, and traces nothing", async () => {
    const lines: string[] = [];
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:1", OTEL_EXPORTER_OTLP_PROTOCOL: "pigeon" };
    expect(await openHostTracing(env, logger(lines))).toBeUndefined();
    expect(lines).toEqual([expect.stringContaining('protocol \\"pigeon\\"')]);
  });
});
