import { describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createCtx } from "../../../lib/ctx.ts";
import { createSlots } from "../../../lib/slots.ts";
import { createHostHealth, createResolver } from "../index.ts";
import type { Resolver, ResolverOptions } from "../remotes.ts";
import { collected, fakeRegistry, faultOf, sampleBlob, serveRange } from "../testing.ts";

const ctx = createCtx({ namespace: "testing" });
const blob = sampleBlob(900_000);
const quick: ResolverOptions = { defaultScheme: "http", backoff: { maxAttempts: 4, baseMs: 1, longestMs: 4 } };
const resolver = (options: ResolverOptions = {}): Resolver => createResolver({ ...quick, ...options });
const fetchFrom = async (host: string, options: ResolverOptions = {}): Promise<Buffer> =>
  await collected((await resolver(options).fetcher(ctx, `${host}/a/b:1`)).fetch(ctx, blob.descriptor));

/** A folder of hosts.toml for `registry.example`. */
function hostsFor(text: string): Disposable & { readonly folder: string } {
  const folder = mkdtempSync(join(tmpdir(), "lighter-hosts-"));
  mkdirSync(join(folder, "registry.example"));
  writeFileSync(join(folder, "registry.example/hosts.toml"), text);
  return { folder, [Symbol.dispose]: () => rmSync(folder, { recursive: true, force: true }) };
}

describe("a fetch", () => {
  test.each([408, 429, 500, 502, 503, 504])(
    "is tried again after %d, and ends when that does not pass",
    async (status) => {
      let left = 3;
      await using registry = fakeRegistry((request) =>
        left-- > 0 ? new Response("", { status }) : serveRange(request, blob.bytes),
      );
      expect((await fetchFrom(registry.host)).equals(blob.bytes)).toBe(true);
      left = 1000;
      const { kind, message } = await faultOf(fetchFrom(registry.host));
      expect(kind).toBe(status === 429 ? "resourceExhausted" : "unavailable");
      expect(message).toContain(`${registry.host}/a/b:1`);
      expect(message).toContain(String(status));
    },
  );

  test("waits as long as it is asked to, and not for ever", async () => {
    let answers = 0;
    await using registry = fakeRegistry((request) =>
      answers++ === 0
        ? new Response("", { status: 429, headers: { "retry-after": "1" } })
        : serveRange(request, blob.bytes),
    );
    const started = performance.now();
    await fetchFrom(registry.host);
    expect(performance.now() - started).toBeGreaterThan(950);
    await using impatient = fakeRegistry(() => new Response("", { status: 429, headers: { "retry-after": "7200" } }));
    expect(await faultOf(fetchFrom(impatient.host))).toEqual({
      kind: "resourceExhausted",
      message: expect.stringContaining("asks to come back in 7200s"),
    });
    expect(impatient.requests).toHaveLength(1);
  });

  test("ends with its context, also while it waits", async () => {
    await using registry = fakeRegistry(() => new Response("", { status: 503, headers: { "retry-after": "50" } }));
    const controller = new AbortController();
    const fetcher = await resolver().fetcher(ctx, `${registry.host}/a/b:1`);
    const fetching = faultOf(collected(fetcher.fetch(createCtx({ signal: controller.signal }), blob.descriptor)));
    setTimeout(() => controller.abort(), 50);
    expect((await fetching).kind).toBe("canceled");
  });

  test("by ranges brings the same bytes, several at once; from a host without ranges all in one", async () => {
    const ranges: string[] = [];
    let [open, most] = [0, 0];
    await using registry = fakeRegistry(async (request) => {
      ranges.push(request.headers.get("range") ?? "all");
      most = Math.max(most, ++open);
      await Bun.sleep(20);
      open--;
      return serveRange(request, blob.bytes);
    });
    expect((await fetchFrom(registry.host, { chunkBytes: 100_000, maxRanges: 3 })).equals(blob.bytes)).toBe(true);
    expect(ranges).toHaveLength(9);
    expect(most).toBe(3);
    await using simple = fakeRegistry(() => new Response(blob.bytes));
    expect((await fetchFrom(simple.host, { chunkBytes: 100_000 })).equals(blob.bytes)).toBe(true);
  });

  test("of many blobs keeps to its places", async () => {
    let [open, most] = [0, 0];
    await using registry = fakeRegistry(async (request) => {
      most = Math.max(most, ++open);
      await Bun.sleep(10);
      open--;
      return serveRange(request, blob.bytes);
    });
    const downloads = createSlots(2);
    const fetch = async (): Promise<Buffer> => {
      // Resolvers of several pulls share their places.
      const fetcher = await resolver({ downloads }).fetcher(ctx, `${registry.host}/a/b:1`);
      return collected(fetcher.fetch(ctx, blob.descriptor));
    };
    await Promise.all(Array.from({ length: 6 }, fetch));
    expect(most).toBe(2);
  });

  test("of a foreign layer goes to the address that it names", async () => {
    await using store = fakeRegistry((request, url) =>
      url.pathname === "/layer" ? serveRange(request, blob.bytes) : undefined,
    );
    await using registry = fakeRegistry(() => undefined);
    const fetcher = await resolver().fetcher(ctx, `${registry.host}/a/b:1`);
    const descriptor = {
      ...blob.descriptor,
      mediaType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
      urls: ["ftp://nowhere/", "not an address", `http://${store.host}/gone`, `http://${store.host}/layer`],
    };
    expect((await collected(fetcher.fetch(ctx, descriptor))).equals(blob.bytes)).toBe(true);
    expect(registry.requests).toEqual([]);
  });
});

describe("mirrors", () => {
  test("one that answers 5xx or 429 is left at once; one that has not what is asked for too", async () => {
    for (const status of [404, 429, 503]) {
      await using mirror = fakeRegistry(() => new Response("", { status, headers: { "retry-after": "30" } }));
      await using registry = fakeRegistry((request) => serveRange(request, blob.bytes));
      using hosts = hostsFor(`server = "http://${registry.host}"\n[host."http://${mirror.host}"]`);
      expect((await fetchFrom("registry.example", { hostFolders: [hosts.folder] })).equals(blob.bytes)).toBe(true);
    }
  });

  test("one that refuses connections is remembered by all resolvers that share what they know", async () => {
    await using registry = fakeRegistry((request) => serveRange(request, blob.bytes));
    const gone = fakeRegistry(() => undefined);
    await gone[Symbol.asyncDispose]();
    using hosts = hostsFor(`server = "http://${registry.host}"\n[host."http://${gone.host}"]`);
    const health = createHostHealth();
    const admitted: boolean[] = [];
    const watched = {
      ...health,
      admits: (key: string) => {
        const admits = health.admits(key);
        admitted.push(admits);
        return admits;
      },
    };
    for (let i = 0; i < 3; i++) await fetchFrom("registry.example", { hostFolders: [hosts.folder], health: watched });
    expect(admitted).toEqual([true, false, false]);
  });

  test("one without resolve is asked by digest only", async () => {
    await using mirror = fakeRegistry(() => undefined);
    await using registry = fakeRegistry(() => undefined);
    using hosts = hostsFor(
      `server = "http://${registry.host}"\n[host."http://${mirror.host}"]\ncapabilities = ["pull"]`,
    );
    const resolving = resolver({ hostFolders: [hosts.folder] });
    expect(await faultOf(resolving.resolve(ctx, "registry.example/a:1"))).toEqual({
      kind: "notFound",
      message: "registry.example/a:1: not found",
    });
    expect(mirror.requests).toEqual([]);
    await faultOf(resolving.resolve(ctx, `registry.example/a@${blob.digest}`));
    expect(mirror.requests).toEqual([
      `HEAD /v2/a/manifests/${blob.digest}?ns=registry.example`,
      `HEAD /v2/a/blobs/${blob.digest}?ns=registry.example`,
    ]);
  });

  test("headers that are configured for a host go to it", async () => {
    const seen: (string | null)[] = [];
    await using registry = fakeRegistry((request) => {
      seen.push(request.headers.get("x-one"), request.headers.get("user-agent"));
      return serveRange(request, blob.bytes);
    });
    using hosts = hostsFor(`server = "http://${registry.host}"\n[header]\nx-one = ["1", "2"]`);
    await fetchFrom("registry.example", { hostFolders: [hosts.folder] });
    expect(seen).toEqual(["1, 2", expect.stringMatching(/^containerd\//)]);
  });
});

test("a header that cannot be sent is the caller's mistake", async () => {
  const { kind } = await faultOf(fetchFrom("127.0.0.1:1", { headers: new Map([["x", "a\r\nhost: evil"]]) }));
  expect(kind).toBe("invalidArgument");
});

describe("referrers", () => {
  test("come from the API where there is one, filtered by type", async () => {
    const entry = (artifactType: string): unknown => ({ mediaType: "m", digest: blob.digest, size: 1, artifactType });
    await using registry = fakeRegistry((_request, url) =>
      url.pathname === `/v2/a/b/referrers/${blob.digest}`
        ? Response.json({ schemaVersion: 2, manifests: [entry("x"), entry("y")] })
        : undefined,
    );
    const fetcher = await resolver().fetcher(ctx, `${registry.host}/a/b:1`);
    expect(await fetcher.fetchReferrers(ctx, blob.digest)).toHaveLength(2);
    expect((await fetcher.fetchReferrers(ctx, blob.digest, ["y"])).map((one) => one.artifactType)).toEqual(["y"]);
    expect(registry.requests.at(-1)).toBe(`GET /v2/a/b/referrers/${blob.digest}?artifactType=y`);
  });

  test("come page after page, and no further than they should", async () => {
    const answers: Record<string, string> = {
      last: `<?page=2>; rel="next"`,
      "": `</v2/a/b/referrers/x?page=last>; rel="next"`,
    };
    let link: (page: string) => string | undefined = (page) => answers[page];
    const entry = { mediaType: "m", digest: blob.digest, size: 1 };
    await using registry = fakeRegistry((_request, url) => {
      const header = link(url.searchParams.get("page") ?? "");
      return Response.json({ manifests: [entry] }, header === undefined ? {} : { headers: { link: header } });
    });
    const fetcher = await resolver().fetcher(ctx, `${registry.host}/a/b:1`);
    expect(await fetcher.fetchReferrers(ctx, blob.digest)).toHaveLength(3);
    for (const [evil, why] of [
      [`<http://127.0.0.1:1/v2/>; rel="next"`, "which is elsewhere"],
      [`<file:///etc/passwd>; rel=next`, "which is elsewhere"],
      [`<http://[>; rel="next"`, "which is elsewhere"],
      [`<?page=9>; rel="next"`, "does not end"],
    ] as const) {
      link = () => evil;
      expect(await faultOf(fetcher.fetchReferrers(ctx, blob.digest))).toEqual({
        kind: "failedPrecondition",
        message: expect.stringContaining(why),
      });
    }
    link = () => `<nonsense; rel="prev", <>;;;`;
    expect(await fetcher.fetchReferrers(ctx, blob.digest)).toHaveLength(1);
  });
});
