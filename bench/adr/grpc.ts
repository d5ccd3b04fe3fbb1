import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { run } from "../../test/support/index.ts";
import { h2load } from "../unary/h2load.ts";
import { ratioInTurn } from "./pairs.ts";

const servers = { ours: "./our-server.ts", builtIn: "./built-in-server.ts" } as const;
const method = "/containerd.services.version.v1.Version/Version";

/** ADR 4: our HTTP/2 server beside the runtime's own, on unary calls, and on streams to a Go client. */
export async function measureGrpc(): Promise<readonly string[]> {
  const folder = mkdtempSync(path.join(tmpdir(), "lighter-adr-"));
  try {
    await using ours = await startServer(servers.ours, path.join(folder, "ours.sock"));
    await using builtIn = await startServer(servers.builtIn, path.join(folder, "built-in.sock"));
    const lines: string[] = [];
    for (const inFlight of [1, 16, 64]) {
      const perCall = (socket: string) => async (): Promise<number> =>
        1 / (await h2load({ socket, method, calls: 10_000, inFlight })).callsPerSecond;
      const ratio = await ratioInTurn(perCall(ours.socket), perCall(builtIn.socket), 5);
      lines.push(`time of a unary call, ${inFlight} in flight, ours : the runtime's: ${ratio}`);
    }
    for (const [name, socket] of [["ours", ours.socket] as const, ["the runtime's", builtIn.socket] as const]) {
      lines.push(
        `streams of 60 messages of 1 MB to a Go client that ended, ${name}: ${await streamsThatEnd(socket)} of 5`,
      );
    }
    return lines;
  } finally {
    rmSync(folder, { recursive: true });
  }
}

async function streamsThatEnd(socket: string): Promise<number> {
  let ended = 0;
  for (let i = 0; i < 5; i++) {
    const { code, stderr } = await run(["timeout", "5", "ctr", "-a", socket, "events"]);
    if (code !== 124 && stderr.endsWith("EOF\n")) ended++;
  }
  return ended;
}

async function startServer(file: string, socket: string): Promise<AsyncDisposable & { readonly socket: string }> {
  const child = Bun.spawn([process.execPath, path.resolve(import.meta.dir, file), socket], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
  // Either prints a line once it listens.
  await child.stdout.getReader().read();
  return {
    socket,
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGKILL");
      await child.exited;
    },
  };
}
