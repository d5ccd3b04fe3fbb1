import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import fs from "node:fs/promises";
import path from "node:path";
import type { ContentStore } from "../../src/core/content/index.ts";
import { childrenIn } from "../../src/core/oci/index.ts";
import { createResolver, type Descriptor, type PushOutcome, type Resolver } from "../../src/core/remotes/index.ts";
import { faultOf } from "../../src/core/remotes/testing.ts";
import { type Ctx, createCtx } from "../../src/lib/ctx.ts";
import { digestOf } from "../../src/lib/digest.ts";
import { createLogger } from "../../src/lib/log.ts";
import { createWorkspace, missing, runOk, type Workspace, waitFor, writeBusyboxImage } from "../support/index.ts";
import {
  type Authority,
  createAuthority,
  type Registry,
  startRegistry,
  startTokenServer,
} from "../support/registry.ts";
import { openTestContent } from "../support/registry-content.ts";
import { type Fate, startFaultProxy } from "../support/registry-faults.ts";

const reason = missing(["registry"]);
const suite = reason === undefined ? describe : describe.skip;
const ctx = createCtx({ namespace: "testing" });
const user = { name: "joe", password: "s3cret:with colon" };
const quick = { backoff: { maxAttempts: 8, baseMs: 2, longestMs: 20 } };

let workspace: Workspace;
let archive: string;
let authority: Authority;
let folders = 0;
const newFolder = (): string => path.join(workspace.folder, `f${++folders}`);
const newContent = (): ReturnType<typeof openTestContent> => openTestContent(newFolder());

beforeAll(async () => {
  workspace = await createWorkspace();
  archive = await writeBusyboxImage(path.join(workspace.folder, "image.tar"));
  authority = await createAuthority(path.join(workspace.folder, "authority"));
});
afterAll(async () => {
  await workspace.expectNoLeaks();
  await workspace[Symbol.asyncDispose]();
});

/** Has skopeo bring the image to a registry. */
async function skopeoPush(registry: Registry, name: string, ...options: string[]): Promise<void> {
  const target = `docker://${registry.host}/${name}`;
  await runOk(["skopeo", "copy", "--dest-tls-verify=false", ...options, `oci-archive:${archive}`, target]);
}

/** Brings a reference and all that it refers to into a store; answers with all of it, what refers after what is referred to. */
async function pull(of: Ctx, resolver: Resolver, ref: string, store: ContentStore): Promise<Descriptor[]> {
  const { descriptor } = await resolver.resolve(of, ref);
  const fetcher = await resolver.fetcher(of, ref);
  const visit = async (one: Descriptor): Promise<Descriptor[]> => {
    await fetcher.fetchInto(of, one, store);
    await using file = await store.file(of, one.digest);
    const children = childrenIn(await fs.readFile(file.path), one);
    return [...(await Promise.all(children.map(visit))).flat(), one];
  };
  return await visit(descriptor);
}

async function push(
  resolver: Resolver,
  ref: string,
  store: ContentStore,
  all: readonly Descriptor[],
): Promise<PushOutcome[]> {
  const pusher = await resolver.pusher(ctx, ref);
  const outcomes: PushOutcome[] = [];
  for (const one of all)
    outcomes.push(await pusher.push(ctx, one, { read: (from) => store.read(ctx, one.digest, from) }));
  return outcomes;
}

async function writeHosts(host: string, text: string): Promise<string> {
  const folder = newFolder();
  const name = host.replace(/:(\d+)$/, "_$1_");
  await fs.mkdir(path.join(folder, name), { recursive: true });
  await fs.writeFile(path.join(folder, name, "hosts.toml"), text);
  return folder;
}

/** A blob that does not shrink, and what to push it from. */
function blobOf(sizeBytes: number): { descriptor: Descriptor; read(from: number): AsyncGenerator<Uint8Array> } {
  const bytes = new Uint8Array(sizeBytes);
  for (let at = 0; at < sizeBytes; at += 65_536) crypto.getRandomValues(bytes.subarray(at, at + 65_536));
  return {
    descriptor: { mediaType: "application/vnd.oci.image.layer.v1.tar", digest: digestOf(bytes), sizeBytes },
    read: async function* (from) {
      for (let at = from; at < sizeBytes; at += 65_536) yield bytes.subarray(at, at + 65_536);
    },
  };
}

suite(`a registry${reason === undefined ? "" : ` [${reason}]`}`, () => {
  test.each([[["--format", "v2s2"]], [["--format", "oci"]], [["--dest-compress-format", "zstd", "--dest-compress"]]])(
    "what skopeo pushed with %j we pull, and what we push skopeo reads",
    async (options) => {
      await using registry = await startRegistry({ folder: newFolder() });
      await using content = await newContent();
      await skopeoPush(registry, "from/skopeo:1", ...options);
      const resolver = createResolver();
      const all = await pull(ctx, resolver, `${registry.host}/from/skopeo:1`, content.store);
      expect(all).toHaveLength(4);
      const root = all.at(-1) as Descriptor;

      expect(await push(resolver, `${registry.host}/to/skopeo:2`, content.store, all)).toEqual(all.map(() => "pushed"));
      const copy = newFolder();
      await runOk(["skopeo", "copy", "--src-tls-verify=false", `docker://${registry.host}/to/skopeo:2`, `dir:${copy}`]);
      expect(digestOf(await fs.readFile(path.join(copy, "manifest.json")))).toBe(root.digest);
      for (const { digest } of all.slice(0, -1)) {
        expect(digestOf(await fs.readFile(path.join(copy, digest.replace("sha256:", ""))))).toBe(digest);
      }
      // Again: all is there. To a third repository: blobs are mounted from the first.
      expect(await push(resolver, `${registry.host}/to/skopeo:2`, content.store, all)).toEqual(all.map(() => "exists"));
      const annotations = new Map([["containerd.io/distribution.source.127.0.0.1", "from/skopeo"]]);
      const labelled = all.map((one) => ({ ...one, annotations }));
      const outcomes = await push(resolver, `${registry.host}/third:3`, content.store, labelled);
      expect(outcomes).toEqual([...all.slice(0, -1).map(() => "mounted" as const), "pushed"]);
    },
  );

  test("an index with an artifact in it, by tag and by digest; it is listed under the tag that stands in for the referrers API", async () => {
    await using registry = await startRegistry({ folder: newFolder() });
    await using content = await newContent();
    await skopeoPush(registry, "a:1");
    const resolver = createResolver();
    const image = await pull(ctx, resolver, `${registry.host}/a:1`, content.store);
    const subject = image.at(-1) as Descriptor;
    const put = async (ref: string, mediaType: string, value: unknown): Promise<Descriptor> => {
      const bytes = new TextEncoder().encode(JSON.stringify(value));
      const descriptor = { mediaType, digest: digestOf(bytes), sizeBytes: bytes.length };
      const pusher = await resolver.pusher(ctx, ref);
      await pusher.push(ctx, descriptor, {
        read: async function* () {
          yield bytes;
        },
      });
      return descriptor;
    };
    const entry = ({ mediaType, digest, sizeBytes }: Descriptor): unknown => ({ mediaType, digest, size: sizeBytes });
    const index = "application/vnd.oci.image.index.v1+json";
    const empty = await put(`${registry.host}/a`, "application/vnd.oci.empty.v1+json", {});
    const artifact = await put(`${registry.host}/a`, "application/vnd.oci.image.manifest.v1+json", {
      schemaVersion: 2,
      artifactType: "application/x.sbom",
      config: entry(empty),
      layers: [entry(empty)],
      subject: entry(subject),
    });
    const root = await put(`${registry.host}/a:all`, index, {
      schemaVersion: 2,
      manifests: [entry(subject), entry(artifact)],
    });
    await using other = await newContent();
    const byTag = await pull(ctx, resolver, `${registry.host}/a:all`, other.store);
    expect(byTag.at(-1)?.digest).toBe(root.digest);
    expect(byTag.map((one) => one.digest)).toContain(artifact.digest);
    const byDigest = await resolver.resolve(ctx, `${registry.host}/a@${artifact.digest}`);
    expect(byDigest.descriptor).toEqual(artifact);
    const fetcher = await resolver.fetcher(ctx, `${registry.host}/a:1`);
    expect((await fetcher.fetchReferrers(ctx, subject.digest)).map((one) => one.digest)).toEqual([artifact.digest]);
    expect(await fetcher.fetchReferrers(ctx, subject.digest, ["application/x.other"])).toEqual([]);
    expect(await fetcher.fetchReferrers(ctx, artifact.digest)).toEqual([]);
    expect((await fetcher.describe(ctx, subject.digest)).mediaType).toBe(subject.mediaType);
  });

  test("TLS: with our own authority and a client's certificate, in either layout; refused without", async () => {
    await using registry = await startRegistry({ folder: newFolder(), tls: authority, clientAuth: true });
    const blob = blobOf(1_000_000);
    const pair = `client = [["${authority.client.cert}", "${authority.client.key}"]]`;
    const hosts = await writeHosts(
      registry.host,
      `server = "https://${registry.host}"\nca = "${authority.ca}"\n${pair}`,
    );
    const pusher = await createResolver({ hostFolders: [hosts] }).pusher(ctx, `${registry.host}/a:1`);
    expect(await pusher.push(ctx, blob.descriptor, blob)).toBe("pushed");

    const docker = path.join(newFolder(), registry.host);
    await fs.mkdir(docker, { recursive: true });
    await fs.copyFile(authority.ca, path.join(docker, "ca.crt"));
    await fs.copyFile(authority.client.cert, path.join(docker, "me.cert"));
    await fs.copyFile(authority.client.key, path.join(docker, "me.key"));
    await using content = await newContent();
    const fetcher = await createResolver({ hostFolders: [path.dirname(docker)] }).fetcher(ctx, `${registry.host}/a:1`);
    expect(await fetcher.fetchInto(ctx, blob.descriptor, content.store)).toBe(true);

    const untrusting = createResolver({ defaultScheme: "https" });
    const name = `localhost:${registry.host.split(":")[1]}/a:1`;
    expect((await faultOf(untrusting.resolve(ctx, name))).message).toMatch(/"ca" in its hosts.toml/);
    const plain = await faultOf(createResolver().resolve(ctx, `${registry.host}/a:1`));
    expect(plain.message).toMatch(/client certificate/);
    const nameless = await writeHosts(registry.host, `server = "https://${registry.host}"\nca = "${authority.ca}"`);
    const anonymous = createResolver({ hostFolders: [nameless] });
    expect((await faultOf(anonymous.resolve(ctx, `${registry.host}/a:1`))).message).toMatch(/client certificate/);
  });

  test("Basic: with the right password, with none, with a wrong one", async () => {
    await using registry = await startRegistry({ folder: newFolder(), user });
    const blob = blobOf(200_000);
    const push = async (credentials?: { username: string; secret: string }): Promise<PushOutcome> => {
      const resolver = createResolver({ credentials: () => Promise.resolve(credentials) });
      return await (await resolver.pusher(ctx, `${registry.host}/a:1`)).push(ctx, blob.descriptor, blob);
    };
    expect(await push({ username: user.name, secret: user.password })).toBe("pushed");
    expect((await faultOf(push())).message).toMatch(/log in first/);
    expect((await faultOf(push({ username: user.name, secret: "wrong" }))).message).toMatch(
      /username or password is wrong/,
    );
  });

  test("tokens: by password, by refresh token, where there is no POST, anonymous; each asked for once while it lasts", async () => {
    const refreshToken = "a refresh token";
    for (const withoutPost of [false, true]) {
      await using tokens = await startTokenServer({ authority, user, refreshToken, publicPull: true, withoutPost });
      await using registry = await startRegistry({ folder: newFolder(), tokenServer: tokens });
      const blobs = [blobOf(100_000), blobOf(100_001), blobOf(100_002)];
      const ref = `${registry.host}/a/b:1`;
      const asked = async (credentials?: { username?: string; secret: string }, what = blobs): Promise<string[]> => {
        tokens.requests.length = 0;
        const pusher = await createResolver({ credentials: () => Promise.resolve(credentials) }).pusher(ctx, ref);
        await Promise.all(what.map((blob) => pusher.push(ctx, blob.descriptor, blob)));
        return tokens.requests;
      };
      const scope = "repository:a/b:pull,push";
      const byName = await asked({ username: user.name, secret: user.password });
      expect(byName).toEqual([withoutPost ? `GET basic ${scope}` : `POST password ${scope}`]);
      if (!withoutPost) expect(await asked({ secret: refreshToken })).toEqual([`POST refresh_token ${scope}`]);
      expect((await faultOf(asked(undefined, [blobOf(5)]))).message).toMatch(/access denied/);

      tokens.requests.length = 0;
      await using content = await newContent();
      const fetcher = await createResolver().fetcher(ctx, ref);
      await Promise.all(blobs.map((blob) => fetcher.fetchInto(ctx, blob.descriptor, content.store)));
      expect(tokens.requests).toEqual(["GET anonymous repository:a/b:pull"]);
    }
  });

  test("connections cut at random bytes, 408, 429, 500 and 503: what arrives is what was sent, in order or by ranges", async () => {
    await using registry = await startRegistry({ folder: newFolder() });
    let state = 4711;
    const random = (below: number): number => {
      state = (state * 1103515245 + 12345) & 0x7fffffff;
      return (state >> 8) % below;
    };
    const fate = (method: string): Fate => {
      if (random(10) < 2) {
        const status = [408, 429, 500, 503][random(4)] as number;
        return { kind: "answer", status, headers: { "Retry-After": "0" } };
      }
      if (method === "PUT" || method === "PATCH") {
        return random(10) < 2 ? { kind: "cutUpload", afterBytes: random(8 << 20) } : { kind: "pass" };
      }
      return random(10) < 7 ? { kind: "cut", afterBytes: random(1 << 20) } : { kind: "pass" };
    };
    await using proxy = await startFaultProxy(registry.host, fate);
    const blob = blobOf(8 << 20);
    for (const options of [{}, { chunkBytes: 1 << 20, uploadChunkBytes: 2 << 20 }]) {
      const ref = `${proxy.host}/cut${Object.keys(options).length}:1`;
      const resolver = createResolver({ ...quick, ...options });
      expect(await (await resolver.pusher(ctx, ref)).push(ctx, blob.descriptor, blob)).toBe("pushed");
      await using content = await newContent();
      expect(await (await resolver.fetcher(ctx, ref)).fetchInto(ctx, blob.descriptor, content.store)).toBe(true);
      expect(content.store.info(ctx, blob.descriptor.digest).sizeBytes).toBe(blob.descriptor.sizeBytes);
    }
    expect(proxy.cuts).toBeGreaterThan(3);
  });

  test("a process that is killed while it downloads: the next goes on where it ended", async () => {
    await using registry = await startRegistry({ folder: newFolder() });
    const blob = blobOf(6 << 20);
    await (await createResolver().pusher(ctx, `${registry.host}/a:1`)).push(ctx, blob.descriptor, blob);
    let stuck = true;
    const fate = (method: string): Fate =>
      stuck && method === "GET" ? { kind: "stall", afterBytes: 3 << 20 } : { kind: "pass" };
    await using proxy = await startFaultProxy(registry.host, fate);
    const folder = newFolder();
    const { digest, sizeBytes } = blob.descriptor;
    const script = path.join(import.meta.dir, "../support/registry-puller.ts");
    const command = [process.execPath, script, folder, `${proxy.host}/a:1`, digest, String(sizeBytes)];
    const first = Bun.spawn(command, { stdout: "pipe", stderr: "inherit" });
    let said = "";
    const reading = (async () => {
      for await (const text of first.stdout.pipeThrough(new TextDecoderStream())) said += text;
    })();
    const lastAt = (): number => Number(/.*\bat (\d+)/s.exec(said)?.[1] ?? 0);
    await waitFor("bytes to arrive", () => lastAt() > 1 << 20);
    first.kill("SIGKILL");
    await Promise.all([first.exited, reading]);

    stuck = false;
    const before = proxy.requests.length;
    const answer = await runOk(command);
    const offset = Number(/open (\d+)/.exec(answer)?.[1]);
    expect(offset).toBeGreaterThanOrEqual(1 << 20);
    expect(answer).toEndWith("done\n");
    expect(proxy.heads.slice(before).join()).toContain(`range: bytes=${offset}-`);
    await using content = await openTestContent(folder);
    expect(content.store.info(createCtx({ namespace: "pulling" }), digest).sizeBytes).toBe(sizeBytes);
  });

  test("a mirror that is dead costs one time-out, and not one for each blob", async () => {
    await using registry = await startRegistry({ folder: newFolder() });
    await skopeoPush(registry, "a:1");
    await using mirror = await deadHost();
    const text = `server = "http://${registry.host}"\n[host."http://${mirror.host}"]\ndial_timeout = "500ms"`;
    const hosts = await writeHosts("upstream.example", text);
    const lines: string[] = [];
    const log = createLogger({ level: "info", format: "text", write: (line) => void lines.push(line) });
    await using content = await newContent();
    const started = performance.now();
    const all = await pull(
      createCtx({ namespace: "testing", log }),
      createResolver({ hostFolders: [hosts] }),
      "upstream.example/a:1",
      content.store,
    );
    expect(all).toHaveLength(4);
    expect(lines.filter((line) => line.includes("trying next host"))).toHaveLength(1);
    expect(lines.join()).toContain("no connection within 0.5s");
    expect(performance.now() - started).toBeGreaterThan(450);
  });

  test("a mirror serves what it has, is told for whom, and what it has wrong comes from the registry", async () => {
    await using registry = await startRegistry({ folder: newFolder() });
    const [good, bad, absent] = [blobOf(100_000), blobOf(100_001), blobOf(100_002)];
    const ref = `${registry.host}/a:1`;
    for (const one of [good, bad, absent])
      await (await createResolver().pusher(ctx, ref)).push(ctx, one.descriptor, one);
    const asked: string[] = [];
    using mirror = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch: async ({ url }) => {
        asked.push(new URL(url).search);
        if (url.includes(good.descriptor.digest))
          return new Response(await Bun.readableStreamToBytes(toStream(good.read(0))));
        if (url.includes(bad.descriptor.digest)) return new Response(new Uint8Array(100_001));
        return new Response("", { status: 404 });
      },
    });
    const text = `server = "http://${registry.host}"\n[host."http://127.0.0.1:${mirror.port}"]\ncapabilities = ["pull"]`;
    const resolver = createResolver({ hostFolders: [await writeHosts("upstream.example", text)] });
    await using content = await newContent();
    const fetcher = await resolver.fetcher(ctx, "upstream.example/a:1");
    for (const { descriptor } of [good, bad, absent]) {
      expect(await fetcher.fetchInto(ctx, descriptor, content.store)).toBe(true);
    }
    expect(new Set(asked)).toEqual(new Set(["?ns=upstream.example"]));
    const log = await registry.log();
    expect(log).not.toContain(`GET /v2/a/blobs/${good.descriptor.digest}`);
    expect(log).toContain(`GET /v2/a/blobs/${bad.descriptor.digest}`);
    expect(log).toContain(`GET /v2/a/blobs/${absent.descriptor.digest}`);
  });
});

function toStream(chunks: AsyncIterable<Uint8Array>): ReadableStream<Uint8Array> {
  const source = chunks[Symbol.asyncIterator]();
  return new ReadableStream({
    pull: async (controller) => {
      const { done, value } = await source.next();
      if (done === true) controller.close();
      else controller.enqueue(value);
    },
  });
}

/** A port at which nobody takes connections any more: whoever listens is stopped, and the queue before it is full. */
async function deadHost(): Promise<AsyncDisposable & { readonly host: string }> {
  const code = `const s = require("net").createServer(); s.listen({ port: 0, host: "127.0.0.1", backlog: 1 }, () => console.log(s.address().port));`;
  const child = Bun.spawn(["node", "-e", code], { stdout: "pipe" });
  const { value } = await child.stdout.getReader().read();
  const port = Number(new TextDecoder().decode(value));
  child.kill("SIGSTOP");
  const filling = Array.from({ length: 4 }, () =>
    Bun.connect({
      hostname: "127.0.0.1",
      port,
      socket: { data: () => {}, error: () => {}, connectError: () => {} },
    }).catch(() => undefined),
  );
  const taken = await Promise.race([filling[0], Bun.sleep(1000)]);
  void taken;
  return {
    host: `127.0.0.1:${port}`,
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGKILL");
      await child.exited;
      for (const socket of await Promise.all(filling)) socket?.terminate();
    },
  };
}
