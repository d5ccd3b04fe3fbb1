import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { systemClock } from "../../lib/clock.ts";
import { type Ctx, createCtx } from "../../lib/ctx.ts";
import { type Digest, digestOf } from "../../lib/digest.ts";
import { FaultError, type FaultKind } from "../../lib/faults.ts";
import { type Instant } from "../../lib/instant.ts";
import type { ContentStore, ContentWriter } from "./content.ts";

/** A store under test, empty. */
export interface ContentFixture extends AsyncDisposable {
  readonly store: ContentStore;
}

const ctx = createCtx({ namespace: "testing" });
const other = createCtx({ namespace: "other" });
const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Runs an action that must fail; answers its kind and text. */
export async function failureOf(action: () => unknown): Promise<{ kind: FaultKind | "none"; message: string }> {
  try {
    await action();
  } catch (error) {
    if (error instanceof FaultError) return { kind: error.kind, message: error.message };
    throw error;
  }
  return { kind: "none", message: "" };
}

/** Everything an iterable gives, as one buffer. */
export async function collect(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const chunk of chunks) all.push(chunk);
  return Buffer.concat(all);
}

/** The namespace in which a store keeps everything that has none. */
export const theOnlyNamespace: Ctx = createCtx({ namespace: "one" });

/** A store as other processes have them for proxies: without namespaces. */
export function withoutNamespaces(backend: ContentStore): ContentStore {
  const within = (given: Ctx): Ctx => createCtx({ namespace: theOnlyNamespace.namespace, signal: given.signal });
  return {
    info: (given, digest) => backend.info(within(given), digest),
    list: (given, filters) => backend.list(within(given), filters),
    update: (given, info, paths) => backend.update(within(given), info, paths),
    delete: (given, digest) => backend.delete(within(given), digest),
    read: (given, digest, offset, length) => backend.read(within(given), digest, offset, length),
    lend: (given, digest, offset, length) => backend.lend(within(given), digest, offset, length),
    file: (given, digest) => backend.file(within(given), digest),
    status: (given, ref) => backend.status(within(given), ref),
    listStatuses: (given, filters) => backend.listStatuses(within(given), filters),
    abort: (given, ref) => backend.abort(within(given), ref),
    writer: (given, options) => backend.writer(within(given), options),
  };
}

async function put(
  store: ContentStore,
  ref: string,
  text: string,
  labels = new Map<string, string>(),
): Promise<Digest> {
  await using writer = await store.writer(ctx, { ref });
  await writer.write(bytesOf(text));
  return await writer.commit(ctx, { labels });
}

/** What every content store must do, for whoever implements one. */
export function contentSuite(name: string, open: () => Promise<ContentFixture>): void {
  describe(`${name}: ContentStore`, () => {
    let fixture: ContentFixture;
    let store: ContentStore;
    beforeEach(async () => {
      fixture = await open();
      store = fixture.store;
    });
    afterEach(() => fixture[Symbol.asyncDispose]());

    test("commits what was written, under its digest, with its labels", async () => {
      const digest = await put(store, "one", "hello", new Map([["a", "b"]]));
      expect(digest).toBe(digestOf("hello"));
      const info = store.info(ctx, digest);
      expect([info.digest, info.sizeBytes, [...info.labels]]).toEqual([digest, 5, [["a", "b"]]]);
      expect((await collect(store.read(ctx, digest))).toString()).toBe("hello");
      expect(await store.listStatuses(ctx, [])).toEqual([]);
    });

    test("tells times that lie between a caller's own, to the nanosecond", async () => {
      const times = [systemClock()];
      const tell = (...told: readonly Instant[]): void => void times.push(...told, systemClock());
      {
        await using writer = await store.writer(ctx, { ref: "one" });
        const { startedAt } = writer.status();
        tell(startedAt);
        await writer.write(bytesOf("x"));
        tell(writer.status().updatedAt);
        expect(writer.status().startedAt).toEqual(startedAt);
        await writer.commit(ctx, {});
      }
      const digest = digestOf("x");
      const { createdAt, updatedAt } = store.info(ctx, digest);
      tell(createdAt, updatedAt);
      await store.update(ctx, { digest, labels: new Map([["a", "b"]]) }, []);
      tell(store.info(ctx, digest).updatedAt);
      expect(store.info(ctx, digest).createdAt).toEqual(createdAt);
      expect(times.filter((time, at) => time.isBefore(times[at - 1] ?? time))).toEqual([]);
    });

    test("reads stretches, and refuses to begin past the end", async () => {
      const digest = await put(store, "one", "0123456789");
      const read = async (offset: number, length?: number): Promise<string> =>
        (await collect(store.read(ctx, digest, offset, length))).toString();
      expect(await Promise.all([read(3), read(3, 2), read(8, 100), read(10), read(0, 0)])).toEqual([
        "3456789",
        "34",
        "89",
        "",
        "0123456789",
      ]);
      const failure = await failureOf(() => collect(store.read(ctx, digest, 11)));
      expect(failure).toEqual({
        kind: "outOfRange",
        message: expect.stringContaining("read past object length 10 bytes"),
      });
    });

    test("keeps namespaces apart and shares bytes between them", async () => {
      const digest = await put(store, "one", "shared");
      expect((await failureOf(() => store.info(other, digest))).message).toBe(`content digest ${digest}: not found`);
      await using writer = await store.writer(other, { ref: "two", expected: digest, total: 6 });
      expect(writer.status().offset).toBe(6);
      expect(writer.digest()).toBe(digest);
      await writer.commit(other, { sizeBytes: 6, expected: digest });
      await store.delete(ctx, digest);
      expect((await collect(store.read(other, digest))).toString()).toBe("shared");
    });

    test("a shared write may be begun anew with bytes of its own", async () => {
      const digest = await put(store, "one", "shared");
      await using writer = await store.writer(other, { ref: "two", expected: digest });
      await writer.write(bytesOf("+more"));
      expect(writer.status().offset).toBe(11);
      expect(await writer.commit(other, {})).toBe(digestOf("shared+more"));
      await using again = await store.writer(other, { ref: "three", expected: digest });
      await again.truncate();
      await again.write(bytesOf("new"));
      expect(await again.commit(other, {})).toBe(digestOf("new"));
    });

    test("answers alreadyExists for content that is there", async () => {
      const digest = await put(store, "one", "x");
      const early = await failureOf(() => store.writer(ctx, { ref: "two", expected: digest }));
      expect(early).toEqual({ kind: "alreadyExists", message: `content ${digest}: already exists` });
      const late = await failureOf(() => put(store, "two", "x"));
      expect(late).toEqual({ kind: "alreadyExists", message: `content ${digest}: already exists` });
      expect(await store.listStatuses(ctx, [])).toEqual([]);
    });

    test("locks a ref while it has a writer", async () => {
      const writer = await store.writer(ctx, { ref: "one" });
      const failure = await failureOf(() => store.writer(ctx, { ref: "one" }));
      expect(failure.kind).toBe("unavailable");
      expect(failure.message).toMatch(/^ref testing\/1\/one locked for .*: unavailable$/);
      await using _elsewhere = await store.writer(other, { ref: "one" });
      await writer[Symbol.asyncDispose]();
      await using _again = await store.writer(ctx, { ref: "one" });
    });

    test("goes on where a writer stopped", async () => {
      {
        await using writer = await store.writer(ctx, { ref: "one", total: 10 });
        await writer.write(bytesOf("01234"));
      }
      const status = await store.status(ctx, "one");
      expect([status.ref, status.offset, status.total]).toEqual(["one", 5, 10]);
      expect(await store.listStatuses(ctx, [])).toHaveLength(1);
      expect(await store.listStatuses(ctx, ["ref==two"])).toHaveLength(0);
      await using writer = await store.writer(ctx, { ref: "one", total: 10 });
      expect(writer.status().offset).toBe(5);
      expect(writer.digest()).toBe(digestOf("01234"));
      await writer.write(bytesOf("56789"));
      expect(await writer.commit(ctx, { sizeBytes: 10, expected: digestOf("0123456789") })).toBe(
        digestOf("0123456789"),
      );
    });

    test("refuses a commit whose size or digest differs, and keeps the ingest", async () => {
      const attempt = async (options: Parameters<ContentWriter["commit"]>[1]): Promise<unknown> => {
        const writer = await store.writer(ctx, { ref: "one" });
        if (writer.status().offset === 0) await writer.write(bytesOf("hello"));
        return failureOf(() => writer.commit(ctx, options));
      };
      expect(await attempt({ sizeBytes: 4 })).toEqual({
        kind: "failedPrecondition",
        message: `"one" failed size validation: 5 != 4: failed precondition`,
      });
      const wrong = digestOf("other");
      expect(await attempt({ expected: wrong })).toEqual({
        kind: "failedPrecondition",
        message: `unexpected commit digest ${digestOf("hello")}, expected ${wrong}: failed precondition`,
      });
      expect(await attempt({ labels: new Map([["k".repeat(4000), "v".repeat(97)]]) })).toEqual({
        kind: "invalidArgument",
        message: expect.stringContaining("info.Labels: label key and value length (4097 bytes) greater"),
      });
      expect((await store.status(ctx, "one")).offset).toBe(5);
      expect(await attempt({ sizeBytes: 5 })).toEqual({ kind: "none", message: "" });
    });

    test("commits under another algorithm's digest", async () => {
      const writer = await store.writer(ctx, { ref: "one" });
      await writer.write(bytesOf("hello"));
      const digest = digestOf("hello", "sha512");
      expect(await writer.commit(ctx, { expected: digest })).toBe(digest);
      expect((await collect(store.read(ctx, digest))).toString()).toBe("hello");
    });

    test("truncates to nothing", async () => {
      await using writer = await store.writer(ctx, { ref: "one" });
      await writer.write(bytesOf("wrong"));
      await writer.truncate();
      expect(writer.digest()).toBe(digestOf(""));
      await writer.write(bytesOf("right"));
      expect(await writer.commit(ctx, {})).toBe(digestOf("right"));
    });

    test("aborts an ingest, after which its ref begins anew", async () => {
      {
        await using writer = await store.writer(ctx, { ref: "one" });
        await writer.write(bytesOf("gone"));
      }
      await store.abort(ctx, "one");
      expect((await failureOf(() => store.status(ctx, "one"))).message).toBe("reference one: not found");
      expect((await failureOf(() => store.abort(ctx, "one"))).message).toBe("reference one: not found");
      await using writer = await store.writer(ctx, { ref: "one" });
      expect(writer.status().offset).toBe(0);
    });

    test("updates labels, and nothing else", async () => {
      const digest = await put(
        store,
        "one",
        "x",
        new Map([
          ["a", "1"],
          ["b", "2"],
        ]),
      );
      await store.update(ctx, { digest, labels: new Map([["a", "3"]]) }, ["labels.a", "labels.b"]);
      expect([...store.info(ctx, digest).labels]).toEqual([["a", "3"]]);
      await store.update(
        ctx,
        {
          digest,
          labels: new Map([
            ["__proto__", "p"],
            ["c.d", "4"],
          ]),
        },
        [],
      );
      expect([...store.info(ctx, digest).labels].toSorted(([a], [b]) => (a < b ? -1 : 1))).toEqual([
        ["__proto__", "p"],
        ["c.d", "4"],
      ]);
      const failure = await failureOf(() => store.update(ctx, { digest, labels: new Map() }, ["size"]));
      expect(failure).toEqual({
        kind: "invalidArgument",
        message: `cannot update "size" field on content info "${digest}": invalid argument`,
      });
    });

    test("lists by filter", async () => {
      const one = await put(store, "1", "one", new Map([["kind", "a"]]));
      const two = await put(store, "2", "two", new Map([["kind", "b"]]));
      const listed = (...filters: string[]): string[] => store.list(ctx, filters).map((info) => info.digest);
      expect(listed()).toEqual([one, two].sort());
      expect(listed("labels.kind==a")).toEqual([one]);
      expect(listed(`digest==${two}`)).toEqual([two]);
      expect(listed("labels.kind==a", "labels.kind==b")).toHaveLength(2);
      expect(store.list(other, [])).toEqual([]);
    });

    test("answers notFound and wants a namespace", async () => {
      const digest = digestOf("nothing");
      const text = `content digest ${digest}: not found`;
      for (const action of [
        () => store.info(ctx, digest),
        () => store.delete(ctx, digest),
        () => collect(store.read(ctx, digest)),
        () => store.update(ctx, { digest, labels: new Map() }, []),
      ]) {
        expect(await failureOf(action)).toEqual({ kind: "notFound", message: text });
      }
      expect((await failureOf(() => store.list(createCtx(), []))).message).toContain("namespace is required");
      expect((await failureOf(() => store.writer(ctx, { ref: "" }))).message).toBe(
        "ref must not be empty: invalid argument",
      );
    });

    test("takes large content piece by piece", async () => {
      const piece = Buffer.alloc(3 << 20, "0123456789abcdef");
      await using writer = await store.writer(ctx, { ref: "large" });
      for (let index = 0; index < 5; index++) await writer.write(piece);
      const digest = await writer.commit(ctx, { sizeBytes: 15 << 20 });
      expect(digestOf(await collect(store.read(ctx, digest)))).toBe(digest);
    });
  });
}
