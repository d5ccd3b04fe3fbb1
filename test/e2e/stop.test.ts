import { describe, expect } from "bun:test";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { WriteContentRequestSchema } from "../../src/gen/containerd/services/content/v1/content_pb.ts";
import { Content, WriteAction } from "../../src/gen/containerd/services/content/v1/content_pb.ts";
import { Events } from "../../src/gen/containerd/services/events/v1/events_pb.ts";
import { Version } from "../../src/gen/containerd/services/version/v1/version_pb.ts";
import { Status } from "../../src/gen/containerd/v1/types/task_pb.ts";
import { connectGrpc } from "../../src/wire/grpc/index.ts";
import { connectApi, daemonNeeds, importBusybox, startLighter, testNeeding, waitFor } from "../support/index.ts";

const bytes = new TextEncoder().encode("forty crates of tea");
const digest = `sha256:${new Bun.CryptoHasher("sha256").update(bytes).digest("hex")}`;

/** What a call failed with; "" where it did not. */
function failureOf(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => "",
    (error: unknown) => String(error),
  );
}

describe("SIGTERM", () => {
  testNeeding(
    [...daemonNeeds(), "ours"],
    "takes no more clients, lets a call end, cuts those that only wait, and leaves containers alone",
    async () => {
      await using daemon = await startLighter();
      await importBusybox(daemon);
      await using api = await connectApi(daemon);
      await api.create("c1", ["sleep", "1000"]);
      const pid = await api.start("c1");
      const waiting = failureOf(api.wait("c1"));
      const following = failureOf(
        (async () => {
          for await (const _event of api.connection.client(Events).subscribe({ filters: [] }));
          throw new Error("it ended");
        })(),
      );
      // A write that has got half of what it will.
      const goOn = Promise.withResolvers<void>();
      async function* requests(): AsyncGenerator<MessageInitShape<typeof WriteContentRequestSchema>> {
        const common = { ref: "crates", total: BigInt(bytes.length), expected: digest };
        yield { ...common, action: WriteAction.WRITE, offset: 0n, data: bytes.subarray(0, 5) };
        await goOn.promise;
        // Nothing refers to it.
        const labels = { "containerd.io/gc.root": "now" };
        yield { ...common, action: WriteAction.COMMIT, offset: 5n, data: bytes.subarray(5), labels };
      }
      const content = api.connection.client(Content, { namespace: daemon.namespace });
      const answers = content.write(requests())[Symbol.asyncIterator]();
      expect((await answers.next()).value).toMatchObject({ offset: 5n });

      const told = performance.now();
      process.kill(daemon.pid, "SIGTERM");
      const refusal = () => failureOf(api.connection.client(Version).version({}));
      await waitFor("a daemon that takes no more", async () => (await refusal()) !== "");
      goOn.resolve();
      const rest = async () => [(await answers.next()).value, (await answers.next()).done];
      const written = await rest().catch((error: unknown) => {
        // A machine that needs so long for these lines was not quick enough for the daemon's five seconds.
        if (performance.now() - told < 4_000) throw error;
        return undefined;
      });
      if (written !== undefined) {
        expect(written).toEqual([expect.objectContaining({ offset: BigInt(bytes.length), digest }), true]);
      }
      expect(await failureOf(connectGrpc({ path: daemon.address }))).toMatch(
        /connect to .*: (no such file|connection refused)/,
      );
      expect(await waiting).toContain("unavailable");
      expect(await following).toContain("unavailable");
      await api.connection.closed;
      await daemon.stop();

      process.kill(pid, 0); // it lives
      await daemon.start();
      await using again = await connectApi(daemon);
      const { process: found } = await again.tasks.get({ containerId: "c1" });
      expect(found).toMatchObject({ pid, status: Status.RUNNING });
      if (written !== undefined) {
        const stored = again.connection.client(Content, { namespace: daemon.namespace });
        expect((await stored.info({ digest })).info?.size).toBe(BigInt(bytes.length));
      }
      await again.tasks.kill({ containerId: "c1", signal: 9 });
      await again.wait("c1");
      await again.remove("c1");
    },
  );
});
