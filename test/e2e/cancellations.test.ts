import { afterAll, beforeAll, describe, expect } from "bun:test";
import fs from "node:fs/promises";
import path from "node:path";
import { create } from "@bufbuild/protobuf";
import { Content, WriteAction } from "../../src/gen/containerd/services/content/v1/content_pb.ts";
import { Diff } from "../../src/gen/containerd/services/diff/v1/diff_pb.ts";
import { Snapshots } from "../../src/gen/containerd/services/snapshots/v1/snapshots_pb.ts";
import { Transfer } from "../../src/gen/containerd/services/transfer/v1/transfer_pb.ts";
import { ImageStoreSchema } from "../../src/gen/containerd/types/transfer/imagestore_pb.ts";
import { OCIRegistrySchema } from "../../src/gen/containerd/types/transfer/registry_pb.ts";
import { failureText } from "../../src/lib/fault-testing.ts";
import { fault } from "../../src/lib/faults.ts";
import { anyOf } from "../../src/wire/any.ts";
import { connectGrpc } from "../../src/wire/grpc/index.ts";
import type { CallOptions, ClientConnection } from "../../src/wire/service.ts";
import { type Daemon, startLighter, testNeeding, waitFor } from "../support/index.ts";

const needs = ["lighterd", "root", "overlayfs"] as const;
const mebibyte = 1 << 20;
/** What nothing else holds is not for the collector. */
const labels = { "containerd.io/gc.root": "1" };
const stuck = "application/x.stuck";
/** A program that takes a layer and never gives anything. */
const config = `[stream_processors."stuck"]
  accepts = ["${stuck}"]
  returns = "application/vnd.oci.image.layer.v1.tar"
  path = "sleep"
  args = ["1000"]
`;

describe("a call that is given up takes its work with it", () => {
  let daemon: Daemon;
  let connection: ClientConnection;
  beforeAll(async () => {
    daemon = await startLighter({ config });
    connection = await connectGrpc({ path: daemon.address });
  });
  afterAll(async () => {
    await connection?.[Symbol.asyncDispose]();
    await daemon?.[Symbol.asyncDispose]();
  });

  /** Makes the call, gives it up once its work has begun, and waits for the end of that. */
  const giveUp = async (
    call: (options: CallOptions) => Promise<unknown>,
    begun: () => Promise<boolean>,
    over: () => Promise<boolean>,
  ): Promise<void> => {
    const ending = new AbortController();
    const answer = failureText(() => call({ namespace: daemon.namespace, signal: ending.signal }));
    await waitFor("the work to begin", begun);
    ending.abort(fault("canceled", "given up"));
    expect(await answer).toStartWith("canceled: ");
    await waitFor("the work to end", over);
  };
  const children = async (name: string): Promise<boolean> =>
    (await commandsBelow(daemon.pid)).some((command) => command.includes(name));
  const idle = async (): Promise<boolean> => (await commandsBelow(daemon.pid)).length === 0;
  const store = async (data: Uint8Array<ArrayBuffer>): Promise<string> => {
    const last = { action: WriteAction.COMMIT, ref: crypto.randomUUID(), data, total: BigInt(data.length), labels };
    const answers = connection.client(Content, { namespace: daemon.namespace }).write(only(last));
    return (await Array.fromAsync(answers)).at(-1)?.digest ?? "";
  };
  const mountsOf = async (key: string) =>
    (
      await connection
        .client(Snapshots, { namespace: daemon.namespace })
        .prepare({ snapshotter: "overlayfs", key, labels })
    ).mounts;

  testNeeding(needs, "an unpack ends its worker and its processor, by the caller and by the deadline", async () => {
    const data = new Uint8Array(mebibyte);
    const diff = { mediaType: stuck, digest: await store(data), size: BigInt(data.length) };
    const mounts = await mountsOf("target");
    const client = connection.client(Diff);
    await giveUp(
      (options) => client.apply({ diff, mounts }, options),
      () => children("sleep 1000"),
      idle,
    );
    const late = { namespace: daemon.namespace, timeoutMs: 500 };
    expect(await failureText(() => client.apply({ diff, mounts }, late))).toStartWith("deadlineExceeded: ");
    await waitFor("the work to end", idle);
  });

  testNeeding(needs, "a comparison ends its worker, and nothing of it is written", async () => {
    const right = await mountsOf("changed");
    const upper = right[0]?.source ?? "";
    await using file = await fs.open(path.join(upper, "hole"), "w");
    // A hole takes no room, and longer than this test to be read.
    await file.truncate(mebibyte * mebibyte);
    const client = connection.client(Diff);
    await giveUp(
      (options) => client.diff({ right }, options),
      () => children("diff"),
      idle,
    );
    const content = connection.client(Content, { namespace: daemon.namespace });
    await waitFor("its write to go", async () => (await content.listStatuses({})).statuses.length === 0);
  });

  testNeeding(needs, "a pull lets go of a registry that does not answer", async () => {
    const [asked, left] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    using registry = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      idleTimeout: 0,
      fetch: async (request) => {
        request.signal.addEventListener("abort", () => left.resolve());
        asked.resolve();
        await left.promise;
        return new Response("late", { status: 500 });
      },
    });
    const reference = `127.0.0.1:${registry.port}/silent/box:1`;
    const source = { reference, resolver: { defaultScheme: "http" } };
    const request = {
      source: anyOf(OCIRegistrySchema, create(OCIRegistrySchema, source)),
      destination: anyOf(ImageStoreSchema, create(ImageStoreSchema, { name: reference })),
    };
    const settled = (promise: Promise<void>) => async () =>
      await Promise.race([promise.then(() => true), Bun.sleep(10).then(() => false)]);
    const client = connection.client(Transfer);
    await giveUp((options) => client.transfer(request, options), settled(asked.promise), settled(left.promise));
  });

  testNeeding(needs, "a read closes its blob", async () => {
    const data = crypto.getRandomValues(new Uint8Array(65_536));
    const digest = await store(new Uint8Array(Buffer.concat(Array.from({ length: 48 }, () => data))));
    const isOpen = async (): Promise<boolean> => {
      const folder = `/proc/${daemon.pid}/fd`;
      const names = await fs.readdir(folder);
      const files = await Promise.all(names.map((fd) => fs.readlink(path.join(folder, fd)).catch(() => "")));
      return files.some((file) => file.endsWith(digest.replace("sha256:", "")));
    };
    const client = connection.client(Content);
    // Nobody takes the answers: the daemon waits in the middle of the blob.
    await giveUp(
      async (options) => {
        const answers = client.read({ digest }, options)[Symbol.asyncIterator]();
        await answers.next();
        await new Promise((_resolve, reject) => {
          options.signal?.addEventListener("abort", () => reject(fault("canceled", "given up")));
        });
      },
      isOpen,
      async () => !(await isOpen()),
    );
  });
});

async function* only<T>(one: T): AsyncGenerator<T> {
  yield one;
}

/** The command lines of a process's children and theirs. */
async function commandsBelow(pid: number): Promise<readonly string[]> {
  const read = (file: string): Promise<string> => fs.readFile(file, "utf8").catch(() => "");
  const tasks = await fs.readdir(`/proc/${pid}/task`).catch(() => []);
  const lists = await Promise.all(tasks.map((task) => read(`/proc/${pid}/task/${task}/children`)));
  const children = lists.join(" ").trim().split(/\s+/).filter(Boolean);
  const below = await Promise.all(
    children.map(async (child) => {
      const command = (await read(`/proc/${child}/cmdline`)).replaceAll("\0", " ").trim();
      return [...(command === "" ? [] : [command]), ...(await commandsBelow(Number(child)))];
    }),
  );
  return below.flat();
}
