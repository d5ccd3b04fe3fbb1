import { describe, expect, test } from "bun:test";
import { createCtx } from "../../../lib/ctx.ts";
import { digestOf } from "../../../lib/digest.ts";
import { createResolver } from "../index.ts";
import type { PushOutcome, ResolverOptions } from "../remotes.ts";
import { type FakeRegistry, fakeRegistry, faultOf, sampleBlob } from "../testing.ts";

const ctx = createCtx({ namespace: "testing" });
const blob = sampleBlob(1_000_000);
const quick: ResolverOptions = { defaultScheme: "http", backoff: { maxAttempts: 5, baseMs: 1, longestMs: 4 } };
const source = {
  read: async function* (offset: number) {
    for (let at = offset; at < blob.bytes.length; at += 50_000) yield blob.bytes.slice(at, at + 50_000);
  },
};

async function pushTo(host: string, options: ResolverOptions = {}): Promise<PushOutcome> {
  const pusher = await createResolver({ ...quick, ...options }).pusher(ctx, `${host}/a/b:1`);
  return await pusher.push(ctx, blob.descriptor, source);
}

/** A registry that keeps what has come of an upload, as the specification would have it; `refuse` may answer first. */
function keepingRegistry(
  refuse: (request: Request, kept: number) => Response | undefined,
): FakeRegistry & { stored(): string } {
  let kept = Buffer.alloc(0);
  let done = "";
  const state = (status: number): Response =>
    new Response(null, {
      status,
      headers: { location: `/up?at=${kept.length}`, range: `0-${Math.max(0, kept.length - 1)}` },
    });
  const registry = fakeRegistry(async (request, url) => {
    if (request.method === "HEAD") return undefined;
    const refused = refuse(request, kept.length);
    if (refused !== undefined) return refused;
    if (request.method === "POST") kept = Buffer.alloc(0);
    if (request.method === "POST" || request.method === "GET") return state(request.method === "GET" ? 204 : 202);
    if (request.method === "PATCH" && !request.headers.get("content-range")?.startsWith(`${kept.length}-`)) {
      return new Response("", { status: 416 });
    }
    kept = Buffer.concat([kept, Buffer.from(await request.arrayBuffer())]);
    if (request.method === "PATCH") return state(202);
    done = digestOf(kept);
    return new Response(null, { status: done === url.searchParams.get("digest") ? 201 : 400 });
  });
  return { ...registry, requests: registry.requests, stored: () => done };
}

const methods = ({ requests }: FakeRegistry): string => requests.map((one) => one.split(" ", 1)[0]).join(" ");

describe("a push", () => {
  test("goes in one piece", async () => {
    await using registry = keepingRegistry(() => undefined);
    expect(await pushTo(registry.host)).toBe("pushed");
    expect(methods(registry)).toBe("HEAD POST PUT");
    expect(registry.stored()).toBe(blob.digest);
  });

  test("goes in pieces, no smaller than the host takes", async () => {
    await using registry = keepingRegistry(() => undefined);
    expect(await pushTo(registry.host, { uploadChunkBytes: 400_000 })).toBe("pushed");
    expect(methods(registry)).toBe("HEAD POST PATCH PATCH PATCH PUT");
    await using large = keepingRegistry((request) =>
      request.method === "POST"
        ? new Response(null, { status: 202, headers: { location: "/up", "oci-chunk-min-length": "600000" } })
        : undefined,
    );
    expect(await pushTo(large.host, { uploadChunkBytes: 1000 })).toBe("pushed");
    expect(methods(large)).toBe("HEAD POST PATCH PATCH PUT");
    expect(large.stored()).toBe(blob.digest);
  });

  test("goes in pieces where a proxy takes no body of that size", async () => {
    await using registry = keepingRegistry((request) =>
      request.method === "PUT" && Number(request.headers.get("content-length")) > 0
        ? new Response("", { status: 413 })
        : undefined,
    );
    expect(await pushTo(registry.host)).toBe("pushed");
    expect(registry.stored()).toBe(blob.digest);
    expect(methods(registry)).toBe("HEAD POST PUT GET PATCH PUT");
  });

  test("goes on where it broke", async () => {
    let failures = 2;
    await using registry = keepingRegistry((request, kept) =>
      request.method === "PATCH" && kept > 0 && failures-- > 0 ? new Response("", { status: 503 }) : undefined,
    );
    expect(await pushTo(registry.host, { uploadChunkBytes: 300_000 })).toBe("pushed");
    expect(registry.stored()).toBe(blob.digest);
    expect(methods(registry).match(/POST/g)).toHaveLength(1);
    expect(methods(registry).match(/GET/g)).toHaveLength(2);
  });

  test("is given up when it gets no further", async () => {
    await using registry = keepingRegistry((request) =>
      request.method === "PATCH" ? new Response("", { status: 503 }) : undefined,
    );
    const { kind, message } = await faultOf(pushTo(registry.host, { uploadChunkBytes: 300_000 }));
    expect(kind).toBe("unavailable");
    expect(message).toContain(blob.digest);
  });

  test("that is denied says what to do", async () => {
    await using registry = keepingRegistry((request) =>
      request.method === "POST"
        ? Response.json({ errors: [{ code: "DENIED", message: "read only" }] }, { status: 403 })
        : undefined,
    );
    expect(await faultOf(pushTo(registry.host))).toEqual({
      kind: "permissionDenied",
      message: expect.stringMatching(/^push access denied.*DENIED: read only: permission denied$/),
    });
  });

  test("of a manifest lists it under its subject only where the host does not", async () => {
    for (const knows of [true, false]) {
      const put: string[] = [];
      await using registry = fakeRegistry(async (request, url) => {
        if (request.method !== "PUT") return undefined;
        put.push(url.pathname.replace("/v2/a/b/manifests/", ""));
        return new Response(null, { status: 201, headers: knows ? { "oci-subject": blob.digest } : {} });
      });
      const subject = { mediaType: "m", digest: blob.digest, size: 1 };
      const bytes = new TextEncoder().encode(JSON.stringify({ schemaVersion: 2, subject }));
      const descriptor = {
        mediaType: "application/vnd.oci.image.manifest.v1+json",
        digest: digestOf(bytes),
        sizeBytes: bytes.length,
      };
      const pusher = await createResolver(quick).pusher(ctx, `${registry.host}/a/b:1@${digestOf("other")}`);
      const read = async function* (): AsyncGenerator<Uint8Array> {
        yield bytes;
      };
      expect(await pusher.push(ctx, descriptor, { read })).toBe("pushed");
      expect(put).toEqual(knows ? [descriptor.digest] : [descriptor.digest, blob.digest.replace(":", "-")]);
    }
  });
});
