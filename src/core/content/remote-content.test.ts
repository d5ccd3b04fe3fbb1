import { describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Content } from "../../gen/containerd/services/content/v1/content_pb.ts";
import { createCtx } from "../../lib/ctx.ts";
import { type Digest, digestOf } from "../../lib/digest.ts";
import { unavailable } from "../../lib/faults.ts";
import { silentLogger as log } from "../../lib/log.ts";
import { connectGrpc, createGrpcServer } from "../../wire/grpc/index.ts";
import { createExchange } from "../events/index.ts";
import { createLeaseManager, type LeaseManager, leasesSchema } from "../leases/index.ts";
import { type Metadata, openMetadata } from "../metadata/index.ts";
import { createNamespaceStore, namespacesSchema } from "../namespaces/index.ts";
import {
  type ContentStore,
  contentSchema,
  createContentService,
  type OwnContentStore,
  onlyContent,
  openContentStore,
  openRemoteContentStore,
  type RemoteContentStore,
} from "./index.ts";
import {
  type ContentFixture,
  collect,
  contentSuite,
  failureOf,
  theOnlyNamespace as one,
  withoutNamespaces,
} from "./testing.ts";

const ctx = createCtx({ namespace: "testing" });
const other = createCtx({ namespace: "other" });
const text = (value: string): Uint8Array => new TextEncoder().encode(value);
const schemas = [namespacesSchema, leasesSchema, contentSchema];

interface Fixture extends ContentFixture {
  store: RemoteContentStore;
  readonly backend: OwnContentStore;
  readonly metadata: Metadata;
  readonly leases: LeaseManager;
  /** What the store does when its daemon starts again. */
  reopen(): Promise<void>;
  readonly spool: string;
  /** The digests and refs that the other process has. */
  there(): Promise<{ readonly blobs: readonly string[]; readonly ingests: readonly string[] }>;
}

interface Wishes {
  readonly sharingPolicy?: "shared" | "isolated";
  /** Changes what stands behind the socket. */
  readonly wrap?: (backend: ContentStore) => ContentStore;
}

/** A store over a socket, in front of one that keeps bytes and knows nothing of namespaces. */
async function open({ sharingPolicy, wrap = (backend) => backend }: Wishes = {}): Promise<Fixture> {
  await using stack = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), "lighter-remote-content-"));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  const rooms = (name: string) => {
    const metadata = stack.use(openMetadata({ path: join(folder, `${name}.sqlite`), schemas }));
    const exchange = createExchange({ log });
    const namespaces = createNamespaceStore({ metadata, exchange });
    return { metadata, exchange, namespaces, leases: createLeaseManager({ metadata }), log };
  };
  const backend = stack.use(await openContentStore({ ...rooms("theirs"), root: join(folder, "theirs") }));
  const server = createGrpcServer({ services: [createContentService({ store: wrap(withoutNamespaces(backend)) })] });
  const path = join(folder, "s.sock");
  await server.listen({ path });
  stack.defer(() => server.close(100));
  const connection = stack.use(await connectGrpc({ path }));
  const mine = rooms("mine");
  const spool = join(folder, "spool");
  const connect = async () => connection.client(Content);
  const make = () => openRemoteContentStore({ ...mine, name: "remote", connect, spool, sharingPolicy });
  const fixture: Fixture = {
    store: await make(),
    backend,
    metadata: mine.metadata,
    leases: mine.leases,
    spool,
    reopen: async () => {
      await fixture.store[Symbol.asyncDispose]();
      fixture.store = await make();
    },
    there: async () => ({
      blobs: backend.list(one, []).map((info) => info.digest),
      ingests: (await backend.listStatuses(one, [])).map(({ ref }) => ref),
    }),
    [Symbol.asyncDispose]: async () => {
      await fixture.store[Symbol.asyncDispose]();
      await owned.disposeAsync();
    },
  };
  const owned = stack.move();
  return fixture;
}

async function put(store: ContentStore, ref: string, value: string): Promise<Digest> {
  await using writer = await store.writer(ctx, { ref });
  await writer.write(text(value));
  return await writer.commit(ctx, {});
}

/** What a collection does that nothing holds. */
async function collectAll({ store, metadata }: Fixture): Promise<void> {
  await metadata.update((tx) => {
    for (const table of store.collectables) {
      for (const row of table.page(tx.db, undefined, 100)) if (!row.root) table.remove?.(tx, row);
    }
  });
  for (const table of store.collectables) await table.clean?.();
}

contentSuite("remote", () => open());

describe("a content store of another process", () => {
  test("keeps refs apart by namespace there, and takes away what is deleted, aborted and collected", async () => {
    await using fixture = await open();
    const { store } = fixture;
    const digest = await put(store, "one", "x");
    {
      await using writer = await store.writer(other, { ref: "half" });
      await writer.write(text("half"));
    }
    expect(await fixture.there()).toEqual({ blobs: [digest], ingests: ["other/1/half"] });
    await store.abort(other, "half");
    await store.delete(ctx, digest);
    await collectAll(fixture);
    expect(await fixture.there()).toEqual({ blobs: [], ingests: [] });
    await fixture.leases.create(ctx, { id: "l1", labels: new Map() });
    const leased = createCtx({ namespace: "testing", lease: "l1" });
    {
      await using writer = await store.writer(leased, { ref: "leased" });
      await writer.write(text("leased"));
    }
    const kept = await put(store, "two", "y");
    expect(await fixture.there()).toEqual({ blobs: [kept], ingests: ["testing/1/leased"] });
    await collectAll(fixture);
    expect(await fixture.there()).toEqual({ blobs: [], ingests: [] });
  });

  test("goes on with what was begun before a restart", async () => {
    await using fixture = await open();
    {
      await using writer = await fixture.store.writer(ctx, { ref: "one", total: 8 });
      await writer.write(text("half"));
    }
    await fixture.reopen();
    expect((await fixture.store.status(ctx, "one")).offset).toBe(4);
    await using writer = await fixture.store.writer(ctx, { ref: "one", total: 8 });
    expect([writer.status().offset, writer.digest()]).toEqual([4, digestOf("half")]);
    await writer.write(text("done"));
    expect(await writer.commit(ctx, { sizeBytes: 8 })).toBe(digestOf("halfdone"));
  });

  test("what the other process has already is taken by its digest, unless the policy wants the bytes", async () => {
    for (const sharingPolicy of ["shared", "isolated"] as const) {
      await using fixture = await open({ sharingPolicy });
      const { store, backend } = fixture;
      {
        await using writer = await backend.writer(one, { ref: "theirs" });
        await writer.write(text("theirs"));
        await writer.commit(one, {});
      }
      const expected = digestOf("theirs");
      await using writer = await store.writer(ctx, { ref: "r", expected, total: 6 });
      const isShared = sharingPolicy === "shared";
      expect(writer.status().offset).toBe(isShared ? 6 : 0);
      if (!isShared) await writer.write(text("theirs"));
      expect(await writer.commit(ctx, { sizeBytes: 6, expected })).toBe(expected);
      expect((await collect(store.read(ctx, expected))).toString()).toBe("theirs");
    }
  });

  test("a blob whose commit was answered to nobody is taken away, one that is wanted after all is kept", async () => {
    let cut = true;
    await using fixture = await open({
      wrap: (backend) => ({
        ...backend,
        writer: async (given, options) => {
          const writer = await backend.writer(given, options);
          const commit: typeof writer.commit = async (of, more) => {
            await writer.commit(of, more);
            throw unavailable("the line was cut");
          };
          return cut ? Object.assign(Object.create(writer) as typeof writer, bound(writer), { commit }) : writer;
        },
      }),
    });
    const { store } = fixture;
    expect((await failureOf(() => put(store, "one", "x"))).message).toContain("the line was cut");
    expect((await failureOf(() => put(store, "two", "y"))).message).toContain("the line was cut");
    expect((await fixture.there()).blobs).toHaveLength(2);
    cut = false;
    const wanted = await put(store, "again", "x");
    await fixture.reopen();
    for (const table of fixture.store.collectables) await table.clean?.();
    expect((await fixture.there()).blobs).toEqual([wanted]);
    expect((await collect(fixture.store.read(ctx, wanted))).toString()).toBe("x");
  });

  test("what can't be removed there stays noted", async () => {
    let fail = true;
    await using fixture = await open({
      wrap: (backend) => ({
        ...backend,
        delete: (given, digest) => (fail ? Promise.reject(unavailable("not now")) : backend.delete(given, digest)),
      }),
    });
    const digest = await put(fixture.store, "one", "x");
    await fixture.store.delete(ctx, digest);
    await collectAll(fixture);
    expect((await fixture.there()).blobs).toEqual([digest]);
    fail = false;
    await fixture.reopen();
    await collectAll(fixture);
    expect((await fixture.there()).blobs).toEqual([]);
  });

  test("gives workers a file for as long as they need it, and never one that is not whole", async () => {
    let short = false;
    await using fixture = await open({
      wrap: (backend) => ({
        ...backend,
        lend: (given, digest, offset = 0, length = 0) =>
          backend.lend(given, digest, offset, short ? length - 1 : length),
      }),
    });
    const digest = await put(fixture.store, "one", "bytes");
    {
      await using file = await fixture.store.file(ctx, digest);
      expect(readFileSync(file.path, "utf8")).toBe("bytes");
    }
    expect(readdirSync(fixture.spool)).toEqual([]);
    short = true;
    const failure = await failureOf(() => fixture.store.file(ctx, digest));
    expect(failure.kind).toBe("dataLoss");
    expect([existsSync(fixture.spool), readdirSync(fixture.spool)]).toEqual([true, []]);
  });
});

test("onlyContent refuses a second store, and says which there are", async () => {
  await using fixture = await open();
  expect(onlyContent(new Map([["remote", fixture.store]]))).toBe(fixture.store);
  const two = new Map<string, ContentStore>([
    ["content", fixture.backend],
    ["remote", fixture.store],
  ]);
  expect((await failureOf(() => onlyContent(two))).message).toContain("(content, remote)");
  expect((await failureOf(() => onlyContent(new Map()))).kind).toBe("notFound");
});

function bound<T extends Awaited<ReturnType<ContentStore["writer"]>>>(writer: T): object {
  return {
    status: () => writer.status(),
    digest: () => writer.digest(),
    write: (bytes: Uint8Array) => writer.write(bytes),
    truncate: () => writer.truncate(),
    [Symbol.asyncDispose]: () => writer[Symbol.asyncDispose](),
  };
}
