import { Version } from "../src/gen/containerd/services/version/v1/version_pb.ts";
import { connectGrpc } from "../src/wire/grpc/index.ts";
import type { Side } from "./sides.ts";

/** Milliseconds from the start of a stopped daemon's process to its first answered call, on a root that it knows. */
export async function measureStartUp(side: Side): Promise<number> {
  await side.daemon.stop();
  const started = performance.now();
  await side.daemon.startUnattended();
  return (await firstAnswer(side.daemon.address)) - started;
}

async function firstAnswer(address: string): Promise<number> {
  for (;;) {
    try {
      await using connection = await connectGrpc({ path: address });
      await connection.client(Version).version({}, { timeoutMs: 1_000 });
      return performance.now();
    } catch {
      await Bun.sleep(1); // nobody listens yet
    }
  }
}
