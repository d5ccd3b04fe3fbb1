import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { Version } from "../../src/gen/containerd/services/version/v1/version_pb.ts";
import { connectGrpc } from "../../src/wire/grpc/index.ts";
import type { ClientConnection } from "../../src/wire/service.ts";

/** What the server under test holds. */
export interface Held {
  readonly made: number;
  readonly open: number;
  readonly aborted: number;
  readonly caught: number;
  readonly rssKib: number;
  readonly descriptors: number;
}

/** The server of grpc-fixture.ts, in a process of its own. */
export interface Fixture extends AsyncDisposable {
  readonly path: string;
  readonly pid: number;
  connect(): Promise<ClientConnection>;
  held(): Promise<Held>;
}

export async function startFixture(eventCount = 0, eventSize = 0): Promise<Fixture> {
  const folder = mkdtempSync(path.join(tmpdir(), "lighter-wire-"));
  const socket = path.join(folder, "sock");
  const script = path.join(import.meta.dir, "grpc-fixture.ts");
  const child = Bun.spawn([process.execPath, script, socket, String(eventCount), String(eventSize)], {
    stdout: "pipe",
    stderr: "inherit",
  });
  // Its first line says that it listens.
  const reader = child.stdout.getReader();
  await reader.read();
  return {
    path: socket,
    pid: child.pid,
    connect: () => connectGrpc({ path: socket }),
    held: async () => {
      await using connection = await connectGrpc({ path: socket });
      const { version } = await connection.client(Version).version({}, { metadata: new Map([["x-gc", "1"]]) });
      return JSON.parse(version) as Held;
    },
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGTERM");
      await child.exited;
      rmSync(folder, { recursive: true });
    },
  };
}
