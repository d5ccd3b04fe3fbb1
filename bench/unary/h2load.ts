import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { runOk } from "../../test/support/index.ts";

/** One run of h2load against one server. */
export interface Load {
  readonly socket: string;
  /** /package.Service/Method; called with an empty request. */
  readonly method: string;
  readonly calls: number;
  readonly inFlight: number;
}

export interface LoadResult {
  readonly callsPerSecond: number;
  readonly p50Us: number;
  readonly p99Us: number;
}

/**
 * Calls a unary method over one connection, so many at a time, with nghttp2's load generator.
 * Errors: when any call fails.
 */
export async function h2load(load: Load): Promise<LoadResult> {
  const folder = mkdtempSync(path.join(tmpdir(), "lighter-h2load-"));
  try {
    const body = path.join(folder, "body");
    const log = path.join(folder, "log");
    writeFileSync(body, Buffer.alloc(5));
    const flags = [
      "--requests",
      String(load.calls),
      "--clients",
      "1",
      "--max-concurrent-streams",
      String(load.inFlight),
    ];
    const request = ["--data", body, "--header", "content-type: application/grpc", "--header", "te: trailers"];
    const target = ["--base-uri", `unix:${load.socket}`, `http://localhost${load.method}`];
    const output = await runOk(["h2load", ...flags, ...request, "--log-file", log, ...target]);
    if (!output.includes(` ${load.calls} succeeded`)) throw new Error(`not every call succeeded\n${output}`);
    const seconds = /finished in ([\d.]+)(m?s)/.exec(output);
    if (seconds === null) throw new Error(`h2load said something unknown\n${output}`);
    const elapsed = Number(seconds[1]) / (seconds[2] === "ms" ? 1000 : 1);
    const latencies = readFileSync(log, "utf8")
      .trim()
      .split("\n")
      .map((line) => Number(line.split("\t")[2]));
    latencies.sort((a, b) => a - b);
    const quantile = (part: number): number => latencies[Math.floor((latencies.length - 1) * part)] ?? Number.NaN;
    return { callsPerSecond: load.calls / elapsed, p50Us: quantile(0.5), p99Us: quantile(0.99) };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
