import { describe, expect, test } from "bun:test";
import { createCtx } from "../../../lib/ctx.ts";
import { checkAccess, createResolver } from "../index.ts";
import type { Credentials, ResolverOptions } from "../remotes.ts";
import { collected, type FakeRegistry, fakeRegistry, faultOf, sampleBlob, serveRange } from "../testing.ts";

const ctx = createCtx({ namespace: "testing" });
const blob = sampleBlob(1000);
const quick: ResolverOptions = { defaultScheme: "http", backoff: { maxAttempts: 3, baseMs: 1, longestMs: 2 } };

interface TokenRules {
  /** What is said of a request with that token; undefined lets it in. */
  readonly refuse: (token: string | undefined) => string | undefined;
  readonly expiresIn?: number;
}

/** A registry with a token server in it, which gives `t1`, `t2` and so on. */
function tokenRegistry({ refuse, expiresIn }: TokenRules): FakeRegistry {
  let given = 0;
  return fakeRegistry((request, url) => {
    if (url.pathname === "/token")
      return Response.json({ token: `t${++given}`, ...(expiresIn === undefined ? {} : { expires_in: expiresIn }) });
    const token = request.headers.get("authorization")?.replace("Bearer ", "");
    const refusal = refuse(token);
    if (refusal === undefined) return serveRange(request, blob.bytes);
    const header = `Bearer realm="${url.origin}/token",service="s"${refusal === "" ? "" : `,${refusal}`}`;
    return new Response("", { status: 401, headers: { "www-authenticate": header } });
  });
}

async function fetchAll(registry: FakeRegistry, times = 1, credentials?: Credentials): Promise<void> {
  const resolver = createResolver({ ...quick, credentials: () => Promise.resolve(credentials) });
  const fetcher = await resolver.fetcher(ctx, `${registry.host}/a/b:1`);
  for (let i = 0; i < times; i++)
    expect((await collected(fetcher.fetch(ctx, blob.descriptor))).equals(blob.bytes)).toBe(true);
}
const tokenRequests = ({ requests }: FakeRegistry): string[] =>
  requests.filter((one) => one.includes("/token")).map((one) => decodeURIComponent(one));

describe("tokens", () => {
  test("one that lacks a scope is followed by one that has it", async () => {
    const more = `error="insufficient_scope",scope="repository:a/b:pull repository:shared/base:pull"`;
    await using registry = tokenRegistry({
      refuse: (token) => (token === undefined ? "" : token === "t1" ? more : undefined),
    });
    await fetchAll(registry);
    expect(tokenRequests(registry)).toEqual([
      "GET /token?service=s&scope=repository:a/b:pull",
      "GET /token?service=s&scope=repository:a/b:pull&scope=repository:shared/base:pull",
    ]);
  });

  test("one that ends is followed by another without a refusal in between", async () => {
    await using registry = tokenRegistry({
      refuse: (token) => (token === undefined ? "" : undefined),
      expiresIn: 0.02,
    });
    const fetcher = await createResolver(quick).fetcher(ctx, `${registry.host}/a/b:1`);
    for (let i = 0; i < 3; i++) {
      await collected(fetcher.fetch(ctx, blob.descriptor));
      await Bun.sleep(25);
    }
    expect(tokenRequests(registry)).toHaveLength(3);
    expect(registry.requests.filter((one) => one.includes("/blobs/"))).toHaveLength(4);
  });

  test("that are refused again and again are given up", async () => {
    await using registry = tokenRegistry({ refuse: (token) => (token === undefined ? "" : `error="invalid_token"`) });
    const fault = await faultOf(fetchAll(registry));
    expect(fault).toEqual({
      kind: "unauthenticated",
      message: expect.stringContaining("server message: invalid_token"),
    });
    expect(tokenRequests(registry)).toHaveLength(2);
  });

  test("many who need one at once share it", async () => {
    await using registry = tokenRegistry({ refuse: (token) => (token === undefined ? "" : undefined) });
    const fetcher = await createResolver(quick).fetcher(ctx, `${registry.host}/a/b:1`);
    await Promise.all(Array.from({ length: 8 }, () => collected(fetcher.fetch(ctx, blob.descriptor))));
    expect(tokenRequests(registry)).toHaveLength(1);
  });

  test("a header that was given is sent as it is", async () => {
    await using registry = tokenRegistry({ refuse: (token) => (token === "Custom xyz" ? undefined : "") });
    await fetchAll(registry, 2, { header: "Custom xyz" });
    expect(tokenRequests(registry)).toEqual([]);
  });
});

describe("checkAccess", () => {
  test("says whether a registry lets one in", async () => {
    await using registry = fakeRegistry((request, url) => {
      if (url.pathname !== "/v2/") return undefined;
      const known = request.headers.get("authorization") === `Basic ${btoa("joe:pw")}`;
      return known
        ? new Response("{}")
        : new Response("", { status: 401, headers: { "www-authenticate": "Basic realm=x" } });
    });
    const check = (secret: string): Promise<void> =>
      checkAccess(ctx, registry.host, { ...quick, credentials: () => Promise.resolve({ username: "joe", secret }) });
    await check("pw");
    expect((await faultOf(check("no"))).kind).toBe("unauthenticated");
    await using other = fakeRegistry(() => undefined);
    expect(await faultOf(checkAccess(ctx, other.host, quick))).toEqual({
      kind: "notFound",
      message: `${other.host}: there is no registry: not found`,
    });
    expect((await faultOf(checkAccess(ctx, "a b", quick))).kind).toBe("invalidArgument");
  });
});
