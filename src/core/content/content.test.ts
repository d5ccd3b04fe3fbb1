import { expect, test } from "bun:test";
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createCtx } from "../../lib/ctx.ts";
import { type Digest, digestOf, encodedOf } from "../../lib/digest.ts";
import { silentLogger } from "../../lib/log.ts";
import { createExchange, type Exchange } from "../events/index.ts";
import { createLeaseManager, type LeaseManager, leasesSchema } from "../leases/index.ts";
import { type Metadata, openMetadata } from "../metadata/index.ts";
import { createNamespaceStore, namespacesSchema } from "../namespaces/index.ts";
import { contentSchema, openContentStore } from "./index.ts";
import type { ContentInternals } from "./local-content-store.ts";
import { collect, contentSuite, failureOf } from "./testing.ts";

interface Fixture extends AsyncDisposable {
  readonly root: string;
  readonly metadata: Metadata;
  readonly exchange: Exchange;
  readonly leases: LeaseManager;
  store: ContentInternals;
  reopen(): Promise<void>;
}

async function open(sharingPolicy: "shared" | "isolated" = "shared"): Promise<Fixture> {
  const folder = mkdtempSync(join(tmpdir(), "lighter-content-"));
  const root = join(folder, "content");
  const metadata = openMetadata({
    path: join(folder, "meta.db"),
    schemas: [namespacesSchema, leasesSchema, contentSchema],
  });
  const exchange = createExchange({ log: silentLogger });
  const leases = createLeaseManager({ metadata });
  const namespaces = createNamespaceStore({ metadata, exchange });
  const make = async (): Promise<ContentInternals> =>
    (await openContentStore({
      root,
      metadata,
      exchange,
      leases,
      log: silentLogger,
      sharingPolicy,
      namespaces,
    })) as ContentInternals;
  const fixture: Fixture = {
    root,
    metadata,
    exchange,
    leases,
    store: await make(),
    reopen: async () => {
      fixture.store = await make();
    },
    [Symbol.asyncDispose]: async () => {
      await fixture.store[Symbol.asyncDispose]();
      await metadata[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true, force: true });
    },
  };
  return fixture;
}

contentSuite("local", open);

const ctx = createCtx({ namespace: "testing" });
const text = (value: string): Uint8Array => new TextEncoder().encode(value);

async function put(store: ContentInternals, ref: string, value: string): Promise<Digest> {
  await using writer = await store.writer(ctx, { ref });
  await writer.write(text(value));
  return await writer.commit(ctx, {});
}

const blobFile = (root: string, digest: Digest): string => join(root, "blobs", "sha256", encodedOf(digest));

test("lays files out as containerd does", async () => {
  await using fixture = await open();
  const writer = await fixture.store.writer(ctx, { ref: "layer", total: 5 });
  await writer.write(text("hello"));
  const folder = join(fixture.root, "ingest", encodedOf(digestOf("testing/1/layer")));
  expect(readdirSync(folder).sort()).toEqual(["data", "ref", "startedat", "total", "updatedat"]);
  expect(readFileSync(join(folder, "ref"), "utf8")).toBe("testing/1/layer");
  expect(readFileSync(join(folder, "total"), "utf8")).toBe("5");
  const digest = await writer.commit(ctx, {});
  await fixture.store.idle();
  expect(readdirSync(join(fixture.root, "ingest"))).toEqual([]);
  expect(statSync(blobFile(fixture.root, digest)).mode & 0o7777).toBe(0o444);
});

test("removes a blob's file with its last namespace", async () => {
  await using fixture = await open();
  const digest = await put(fixture.store, "one", "x");
  await fixture.store.delete(ctx, digest);
  await fixture.store.idle();
  expect(existsSync(blobFile(fixture.root, digest))).toBe(false);
  expect(await put(fixture.store, "two", "x")).toBe(digest);
  expect(existsSync(blobFile(fixture.root, digest))).toBe(true);
});

test("a write that relies on a blob keeps its file", async () => {
  await using fixture = await open();
  const digest = await put(fixture.store, "one", "x");
  const other = createCtx({ namespace: "other" });
  const writer = await fixture.store.writer(other, { ref: "r", expected: digest });
  await fixture.store.delete(ctx, digest);
  await fixture.store.idle();
  expect(await writer.commit(other, { expected: digest })).toBe(digest);
  expect((await collect(fixture.store.read(other, digest))).toString()).toBe("x");
});

test("goes on with an ingest of an earlier run, its digest computed again", async () => {
  await using fixture = await open();
  {
    await using writer = await fixture.store.writer(ctx, { ref: "one", total: 8 });
    await writer.write(text("half"));
  }
  await fixture.reopen();
  expect(fixture.store.status(ctx, "one").offset).toBe(4);
  await using writer = await fixture.store.writer(ctx, { ref: "one", total: 8 });
  expect(writer.digest()).toBe(digestOf("half"));
  await writer.write(text("done"));
  expect(await writer.commit(ctx, { sizeBytes: 8 })).toBe(digestOf("halfdone"));
});

test("takes back a commit that died between the rename and the transaction", async () => {
  await using fixture = await open();
  {
    await using writer = await fixture.store.writer(ctx, { ref: "one" });
    await writer.write(text("hello"));
  }
  const digest = digestOf("hello");
  const folder = join(fixture.root, "ingest", encodedOf(digestOf("testing/1/one")));
  writeFileSync(join(folder, "commit"), digest);
  renameSync(join(folder, "data"), blobFile(fixture.root, digest));
  await fixture.reopen();
  expect(existsSync(blobFile(fixture.root, digest))).toBe(false);
  expect(fixture.store.status(ctx, "one").offset).toBe(5);
  await using writer = await fixture.store.writer(ctx, { ref: "one" });
  expect(await writer.commit(ctx, { sizeBytes: 5 })).toBe(digest);
});

test("finishes removals, and leaves alone files that it does not know", async () => {
  await using fixture = await open();
  const digest = await put(fixture.store, "one", "x");
  const foreign = blobFile(fixture.root, digestOf("foreign"));
  writeFileSync(foreign, "foreign");
  await fixture.store.delete(ctx, digest);
  await fixture.store.idle();
  writeFileSync(blobFile(fixture.root, digest), "x");
  await fixture.metadata.update((tx) => {
    tx.db.query("INSERT INTO content_removals (path) VALUES (?)").run(`blobs/sha256/${encodedOf(digest)}`);
  });
  await fixture.reopen();
  await fixture.store.idle();
  expect([existsSync(foreign), existsSync(blobFile(fixture.root, digest))]).toEqual([true, false]);
});

test("removals end with the store, which forgets what it has removed and leaves the rest to the next start", async () => {
  await using fixture = await open();
  const noted = (): number =>
    fixture.metadata.read(
      (db) => db.query<{ n: number }, []>("SELECT count(*) AS n FROM content_removals").get()?.n ?? 0,
    );
  const digests = Array.from({ length: 1000 }, (_, n) => digestOf(`${n}`));
  for (const digest of digests) writeFileSync(blobFile(fixture.root, digest), "x");
  await fixture.metadata.update((tx) => {
    const query = tx.db.query("INSERT INTO content_removals (path) VALUES (?)");
    for (const digest of digests) query.run(`blobs/sha256/${encodedOf(digest)}`);
  });
  fixture.store.removeNoted();
  await fixture.store[Symbol.asyncDispose]();
  const left = digests.filter((digest) => existsSync(blobFile(fixture.root, digest))).length;
  expect(left).toBeGreaterThan(500);
  expect(noted()).toBe(left);
  await fixture.reopen();
  await fixture.store.idle();
  expect([noted(), digests.some((digest) => existsSync(blobFile(fixture.root, digest)))]).toEqual([0, false]);
});

test("the policy isolated wants the bytes, unless a namespace shares its own", async () => {
  await using fixture = await open("isolated");
  const digest = await put(fixture.store, "one", "x");
  const other = createCtx({ namespace: "other" });
  {
    await using writer = await fixture.store.writer(other, { ref: "a", expected: digest });
    expect(writer.status().offset).toBe(0);
  }
  const namespaces = createNamespaceStore({ metadata: fixture.metadata, exchange: fixture.exchange });
  const labels = new Map([["containerd.io/namespace.shareable", "true"]]);
  await namespaces.update(ctx, { name: "testing", labels }, []);
  await using writer = await fixture.store.writer(other, { ref: "b", expected: digest });
  expect(writer.status().offset).toBe(1);
});

test("puts what is made under the caller's lease, and refuses a lease that is not there", async () => {
  await using fixture = await open();
  await fixture.leases.create(ctx, { id: "l1", labels: new Map() });
  const leased = createCtx({ namespace: "testing", lease: "l1" });
  const writer = await fixture.store.writer(leased, { ref: "one" });
  expect(fixture.leases.listResources(ctx, "l1")).toEqual([{ type: "ingests", id: "one" }]);
  await writer.write(text("x"));
  const digest = await writer.commit(leased, {});
  expect(fixture.leases.listResources(ctx, "l1")).toEqual([{ type: "content", id: digest }]);
  const nobody = createCtx({ namespace: "testing", lease: "none" });
  expect((await failureOf(() => fixture.store.writer(nobody, { ref: "two" }))).kind).toBe("notFound");
  await using _unlocked = await fixture.store.writer(ctx, { ref: "two" });
});

test("publishes creation and deletion", async () => {
  await using fixture = await open();
  const stop = new AbortController();
  const seen: string[] = [];
  const reading = (async () => {
    for await (const envelope of fixture.exchange.subscribe(createCtx({ signal: stop.signal }), [])) {
      seen.push(`${envelope.namespace} ${envelope.topic}`);
      if (seen.length === 2) return;
    }
  })();
  const digest = await put(fixture.store, "one", "x");
  await fixture.store.delete(ctx, digest);
  await reading;
  stop.abort();
  expect(seen).toEqual(["testing /content/create", "testing /content/delete"]);
});
