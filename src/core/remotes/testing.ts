import { type Digest, digestOf } from "../../lib/digest.ts";
import { FaultError, type FaultKind } from "../../lib/faults.ts";
import type { Descriptor } from "./remotes.ts";

/** A registry that answers as a test wants. */
export interface FakeRegistry extends AsyncDisposable {
  readonly host: string;
  /** Each request: method, path and query. */
  readonly requests: string[];
}

type Handler = (request: Request, url: URL) => Response | undefined | Promise<Response | undefined>;

/** Starts one; what the handler does not answer is not found. */
export function fakeRegistry(handler: Handler): FakeRegistry {
  const requests: string[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: async (request) => {
      const url = new URL(request.url);
      requests.push(`${request.method} ${url.pathname}${url.search}`);
      return (await handler(request, url)) ?? new Response("", { status: 404 });
    },
  });
  return { host: `127.0.0.1:${server.port}`, requests, [Symbol.asyncDispose]: () => server.stop(true) };
}

/** A blob of that many bytes, the same each time, and what describes it. */
export function sampleBlob(sizeBytes: number, mediaType = "application/vnd.oci.image.layer.v1.tar"): SampleBlob {
  const bytes = new Uint8Array(sizeBytes);
  for (let at = 0, state = 1; at < sizeBytes; at++) {
    state = (state * 1103515245 + 12345) & 0x7fffffff;
    bytes[at] = state >> 16;
  }
  const digest = digestOf(bytes);
  return { bytes, digest, descriptor: { mediaType, digest, sizeBytes } };
}

export interface SampleBlob {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly digest: Digest;
  readonly descriptor: Descriptor;
}

/** Answers with a part of the bytes, as Range asks for it. */
export function serveRange(request: Request, bytes: Uint8Array<ArrayBuffer>): Response {
  const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.get("range") ?? "");
  if (range === null)
    return new Response(request.method === "HEAD" ? null : bytes, {
      headers: { "content-length": String(bytes.length) },
    });
  const from = Number(range[1]);
  const to = range[2] === "" ? bytes.length : Number(range[2]) + 1;
  const headers = { "content-range": `bytes ${from}-${to - 1}/${bytes.length}` };
  return new Response(bytes.slice(from, to), { status: 206, headers });
}

/** Runs what must fail; answers with the fault. */
export async function faultOf(work: Promise<unknown>): Promise<{ kind: FaultKind; message: string }> {
  try {
    await work;
  } catch (error) {
    if (error instanceof FaultError) return { kind: error.kind, message: error.message };
    throw error;
  }
  throw new Error("it did not fail");
}

/** Everything an iterable gives, as one buffer. */
export async function collected(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = [];
  for await (const chunk of chunks) all.push(chunk.slice());
  return Buffer.concat(all);
}
