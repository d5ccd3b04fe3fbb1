import { describe, expect, test } from "bun:test";
import { createServer, type Socket } from "node:net";
import { createCtx } from "../../lib/ctx.ts";
import { digestOf } from "../../lib/digest.ts";
import { createResolver } from "./index.ts";
import type { Resolver, ResolverOptions } from "./remotes.ts";
import { collected, type FakeRegistry, fakeRegistry, faultOf, sampleBlob, serveRange } from "./testing.ts";

const ctx = createCtx({ namespace: "testing" });
const blob = sampleBlob(300_000);
const manifestType = "application/vnd.oci.image.manifest.v1+json";
const quick: ResolverOptions = {
  defaultScheme: "http",
  backoff: { maxAttempts: 3, baseMs: 1, longestMs: 2 },
};
const resolver = (options: ResolverOptions = {}): Resolver => createResolver({ ...quick, ...options });

/** A host that sends exactly these bytes and then does as told with the connection. */
async function rawHost(answer: (socket: Socket, head: string) => void): Promise<AsyncDisposable & { host: string }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.once("data", (data) => answer(socket, data.toString("latin1")));
  });
  const { promise, resolve } = Promise.withResolvers<void>();
  server.listen(0, "127.0.0.1", resolve);
  await promise;
  return {
    host: `127.0.0.1:${(server.address() as { port: number }).port}`,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((done) => server.close(done));
    },
  };
}

describe("what a hostile host answers to a question for a tag", () => {
  const ask = async (registry: { readonly host: string }): Promise<{ kind: string; message: string }> => {
    const ref = `${registry.host}/a/b:1`;
    const fault = await faultOf(resolver().resolve(ctx, ref));
    expect(fault.message).toContain(ref);
    return fault;
  };
  const serving = (answer: () => Response): FakeRegistry => fakeRegistry(() => answer());

  test("a digest that is none", async () => {
    const headers = {
      "docker-content-digest": "sha256:../../etc/passwd",
      "content-type": manifestType,
      "content-length": "3",
    };
    await using registry = serving(() => new Response("abc", { headers }));
    expect(await ask(registry)).toEqual({ kind: "dataLoss", message: expect.stringContaining("not a valid digest") });
  });

  test("a digest that is not that of the body", async () => {
    await using registry = fakeRegistry((request) => {
      if (request.method === "HEAD") return new Response(null, { headers: { "content-type": "application/json" } });
      return new Response("{}", {
        headers: { "docker-content-digest": digestOf("other"), "content-type": "application/json" },
      });
    });
    expect((await ask(registry)).kind).toBe("dataLoss");
  });

  test("another digest than the one that was asked for", async () => {
    const headers = { "docker-content-digest": digestOf("other"), "content-type": manifestType };
    await using registry = serving(() => new Response("abc", { headers }));
    const fault = await faultOf(resolver().resolve(ctx, `${registry.host}/a/b@${blob.digest}`));
    expect(fault).toEqual({ kind: "dataLoss", message: expect.stringContaining(digestOf("other")) });
  });

  test("a manifest of gigabytes, announced or not", async () => {
    const headers = { "docker-content-digest": blob.digest, "content-type": manifestType };
    await using told = await rawHost((socket) =>
      socket.end(
        `HTTP/1.1 200 OK\r\nDocker-Content-Digest: ${blob.digest}\r\nContent-Type: ${manifestType}\r\nContent-Length: 5000000000\r\nConnection: close\r\n\r\n`,
      ),
    );
    expect((await ask(told)).message).toContain("rejecting 5000000000 byte manifest");
    await using untold = fakeRegistry((request) => {
      if (request.method === "HEAD") return new Response(null, { status: 405 });
      const body = new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(65_536)) });
      return new Response(body, { headers });
    });
    expect((await ask(untold)).kind).toBe("resourceExhausted");
  });

  test("schema 1", async () => {
    const type = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    const headers = { "docker-content-digest": blob.digest, "content-type": type };
    await using registry = serving(() => new Response("abc", { headers }));
    const { kind, message } = await ask(registry);
    expect(kind).toBe("notImplemented");
    expect(message).toContain("no longer supported");
  });

  test.each([
    ["a circle", (url: URL) => url.href, "stopped after 10 redirects"],
    ["a file", () => "file:///etc/passwd", "no web address"],
    ["nonsense", () => "http://[", "no web address"],
  ])("a redirect to %s", async (_what, to, why) => {
    await using registry = fakeRegistry(
      (_request, url) => new Response(null, { status: 307, headers: { location: to(url) } }),
    );
    expect(await ask(registry)).toEqual({ kind: "failedPrecondition", message: expect.stringContaining(why) });
  });

  test("a realm that is none, and none at all", async () => {
    for (const challenge of ['Bearer realm="file:///etc/passwd"', "Bearer", "Negotiate", ""]) {
      await using registry = serving(
        () => new Response(null, { status: 401, headers: { "www-authenticate": challenge } }),
      );
      expect((await ask(registry)).kind).toBe("unauthenticated");
    }
  });

  test("a token server that lies, refuses or never ends", async () => {
    const endless = (): Response =>
      new Response(new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(65_536)) }));
    const answers: readonly (readonly [() => Response, string])[] = [
      [() => new Response("not json"), "unable to decode token response"],
      [() => new Response("null"), "did not include a token"],
      [() => Response.json({ token: "a\r\nx: y" }), "did not include a token"],
      [() => Response.json({}, { status: 403 }), "log in first"],
      [() => Response.redirect("http://127.0.0.1:1/"), "leads elsewhere"],
      [endless, "larger than"],
    ];
    for (const [answer, why] of answers) {
      await using registry = fakeRegistry((_request, url) =>
        url.pathname === "/token"
          ? answer()
          : new Response(null, { status: 401, headers: { "www-authenticate": `Bearer realm="${url.origin}/token"` } }),
      );
      expect((await ask(registry)).message).toContain(why);
    }
  });

  test("words that are not for a terminal", async () => {
    const errors = [{ code: "DENIED", message: "\u001b]0;owned\u0007 no" }];
    await using registry = serving(() => Response.json({ errors }, { status: 400 }));
    const { message } = await ask(registry);
    expect(message).toContain("DENIED");
    expect(message).not.toMatch(/\p{Cc}/u);
  });

  test("no HTTP at all", async () => {
    await using registry = await rawHost((socket) => socket.end("SSH-2.0-OpenSSH_9.2\r\n"));
    expect(await ask(registry)).toEqual({ kind: "unavailable", message: expect.stringContaining("not proper HTTP") });
  });

  test("nothing: nobody is there", async () => {
    const { host } = await rawHost(() => {}).then(async (server) => {
      await server[Symbol.asyncDispose]();
      return server;
    });
    expect(await ask({ host })).toEqual({
      kind: "unavailable",
      message: expect.stringContaining("connection refused"),
    });
  });
});

describe("what a hostile host answers to a question for a blob", () => {
  const fetching = async (registry: { readonly host: string }, offset = 0): Promise<Buffer> => {
    const fetcher = await resolver().fetcher(ctx, `${registry.host}/a/b:1`);
    return await collected(fetcher.fetch(ctx, blob.descriptor, { offset }));
  };

  test.each([
    ["too little", blob.bytes.slice(1)],
    ["too much", new Uint8Array(blob.bytes.length + 1)],
  ])("%s, as announced", async (_what, bytes) => {
    await using registry = fakeRegistry(() => new Response(bytes));
    expect(await faultOf(fetching(registry))).toEqual({ kind: "dataLoss", message: expect.stringContaining("300000") });
  });

  test("a body without end", async () => {
    const body = (): ReadableStream =>
      new ReadableStream({ pull: (controller) => controller.enqueue(new Uint8Array(65_536)) });
    await using registry = fakeRegistry(() => new Response(body()));
    expect(await faultOf(fetching(registry))).toEqual({
      kind: "dataLoss",
      message: expect.stringContaining("sends more than the 300000 bytes"),
    });
  });

  test("a body that ends too early each time", async () => {
    await using registry = await rawHost((socket) =>
      socket.end("HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\nabc"),
    );
    expect((await faultOf(fetching(registry))).kind).toBe("unavailable");
  });

  test("another part than the one that was asked for", async () => {
    for (const range of ["bytes 0-1/300000", "bytes 100-299999/5", "bytes nonsense", undefined]) {
      const headers = range === undefined ? {} : { "content-range": range };
      await using registry = fakeRegistry(() => new Response(blob.bytes.slice(100), { status: 206, headers }));
      expect(await faultOf(fetching(registry, 100))).toEqual({
        kind: "dataLoss",
        message: expect.stringContaining("unhandled content range"),
      });
    }
  });

  test("the whole instead of a part: what comes before is passed over", async () => {
    await using registry = fakeRegistry(() => new Response(blob.bytes));
    expect((await fetching(registry, 100)).equals(blob.bytes.slice(100))).toBe(true);
  });

  test("the whole, packed on the way", async () => {
    for (const [encoding, bytes] of [
      ["gzip", Bun.gzipSync(blob.bytes)],
      ["zstd", Bun.zstdCompressSync(blob.bytes)],
      ["identity", blob.bytes],
    ] as const) {
      const headers = { "content-encoding": encoding };
      await using registry = fakeRegistry(() => new Response(bytes as Uint8Array<ArrayBuffer>, { headers }));
      expect((await fetching(registry)).equals(blob.bytes)).toBe(true);
    }
    await using broken = fakeRegistry(() => new Response("no gzip", { headers: { "content-encoding": "gzip" } }));
    expect((await faultOf(fetching(broken))).kind).toBe("dataLoss");
    await using odd = fakeRegistry(() => new Response("x", { headers: { "content-encoding": "rot13" } }));
    expect((await faultOf(fetching(odd))).message).toContain("rot13");
  });

  test("a redirect elsewhere: without what is secret", async () => {
    const seen: Headers[] = [];
    await using store = fakeRegistry((request) => {
      seen.push(request.headers);
      return serveRange(request, blob.bytes);
    });
    await using registry = fakeRegistry((request) =>
      request.headers.get("authorization") === null
        ? new Response(null, { status: 401, headers: { "www-authenticate": "Basic realm=x" } })
        : new Response(null, { status: 307, headers: { location: `http://${store.host}/there?sig=1` } }),
    );
    const secret = resolver({
      credentials: () => Promise.resolve({ username: "joe", secret: "s3cret" }),
      headers: new Map([["x-api-key", "s3cret"]]),
    });
    const fetcher = await secret.fetcher(ctx, `${registry.host}/a/b:1`);
    expect((await collected(fetcher.fetch(ctx, blob.descriptor))).equals(blob.bytes)).toBe(true);
    expect(JSON.stringify(seen.map((headers) => [...headers]))).not.toMatch(/s3cret|authorization|am9l/);
  });

  test("a demand for credentials at the place it leads to: it gets none", async () => {
    let asked = 0;
    await using thief = fakeRegistry((request) =>
      request.headers.has("authorization")
        ? serveRange(request, blob.bytes)
        : new Response(null, { status: 401, headers: { "www-authenticate": "Basic realm=x" } }),
    );
    await using registry = fakeRegistry(() => Response.redirect(`http://${thief.host}/there`, 307));
    const secret = resolver({
      credentials: () => {
        asked++;
        return Promise.resolve({ username: "joe", secret: "s3cret" });
      },
    });
    const fetcher = await secret.fetcher(ctx, `${registry.host}/a/b:1`);
    expect((await faultOf(collected(fetcher.fetch(ctx, blob.descriptor)))).kind).toBe("unauthenticated");
    expect(asked).toBe(0);
  });
});

describe("what a hostile host answers to a push", () => {
  const pushing = async (host: string): Promise<unknown> => {
    const pusher = await resolver().pusher(ctx, `${host}/a/b:1`);
    return await pusher.push(ctx, blob.descriptor, {
      read: async function* (offset) {
        yield blob.bytes.slice(offset);
      },
    });
  };

  test.each([
    [undefined, "gives no Location"],
    ["file:///etc/passwd", "no web address"],
  ])("the Location %p", async (location, why) => {
    await using registry = fakeRegistry((request) =>
      request.method === "POST"
        ? new Response(null, { status: 202, headers: location === undefined ? {} : { location } })
        : undefined,
    );
    expect((await faultOf(pushing(registry.host))).message).toContain(why);
  });

  test("a Location at another host: which gets the bytes and nothing secret", async () => {
    const seen: string[] = [];
    await using elsewhere = fakeRegistry(async (request) => {
      seen.push(JSON.stringify([...request.headers]));
      await request.arrayBuffer();
      return new Response(null, { status: 201 });
    });
    await using registry = fakeRegistry((request) =>
      request.method === "POST"
        ? new Response(null, { status: 202, headers: { location: `http://joe:pw@${elsewhere.host}/up?x=1` } })
        : undefined,
    );
    expect(await pushing(registry.host)).toBe("pushed");
    expect(elsewhere.requests).toEqual([`PUT /up?x=1&digest=${encodeURIComponent(blob.digest)}`]);
    expect(seen.join()).not.toContain("authorization");
  });
});

describe("what a hostile host answers to a question for referrers", () => {
  test.each([
    ["not json", "failed to decode referrers index"],
    ["null", undefined],
    ['{"manifests": 5}', "no list of manifests"],
    ['{"manifests": [{"digest": "sha256:../x", "size": 1}]}', "bad digest"],
  ])("%s", async (body, why) => {
    await using registry = fakeRegistry(() => new Response(body));
    const fetcher = await resolver().fetcher(ctx, `${registry.host}/a/b:1`);
    if (why === undefined) expect(await fetcher.fetchReferrers(ctx, blob.digest)).toEqual([]);
    else expect((await faultOf(fetcher.fetchReferrers(ctx, blob.digest))).message).toContain(why);
  });
});
