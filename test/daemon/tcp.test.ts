import { describe, expect } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import { copyFileSync, writeFileSync } from "node:fs";
import { createConnection } from "node:net";
import { join } from "node:path";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  type ReadContentRequest,
  ReadContentRequestSchema,
  ReadContentResponseSchema,
} from "../../src/gen/containerd/services/content/v1/content_pb.ts";
import { VersionResponseSchema } from "../../src/gen/containerd/services/version/v1/version_pb.ts";
import { createWorkspace, type Daemon, run, startLighter, testNeeding, waitFor } from "../support/index.ts";
import { type Answer, call, makeCertificates } from "./tls-client.ts";

const versionMethod = "/containerd.services.version.v1.Version/Version";
const version = (port: number, folder: string, client?: string): Promise<Answer> =>
  call(port, folder, client, versionMethod, new Uint8Array());

const freePort = (): number => {
  using probe = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => {} } });
  return probe.port;
};

interface Bed extends AsyncDisposable {
  readonly daemon: Daemon;
  readonly folder: string;
  readonly port: number;
  /** Of version 3, with all files. */
  readonly config: string;
}

async function bed(more = ""): Promise<Bed> {
  await using stack = new AsyncDisposableStack();
  const { folder } = stack.use(await createWorkspace());
  await makeCertificates(folder);
  const port = freePort();
  const file = (name: string): string => JSON.stringify(join(folder, name));
  const config = `[grpc]
tcp_address = "127.0.0.1:${port}"
tcp_tls_ca = ${file("ca.pem")}
tcp_tls_cert = ${file("server.pem")}
tcp_tls_key = ${file("server.key")}
${more}`;
  const daemon = stack.use(await startLighter({ config }));
  const owned = stack.move();
  return { daemon, folder, port, config, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** Has the configuration read again, and waits for what the log says of it. */
async function reload(daemon: Daemon, until: string): Promise<void> {
  const before = (await daemon.logs()).length;
  process.kill(daemon.pid, "SIGHUP");
  await waitFor(until, async () => (await daemon.logs()).slice(before).includes(until));
}

describe("the TCP socket of gRPC", () => {
  testNeeding(
    ["root", "ctr", "registry"],
    "serves the API to clients with a certificate of the CA's, and to nobody else",
    async () => {
      await using at = await bed();
      const { daemon, port, folder } = at;
      const { status, messages, server } = await version(port, folder, "alice");
      expect([status, server]).toEqual(["0", "server"]);
      expect(fromBinary(VersionResponseSchema, messages[0] ?? Buffer.of()).version).toStartWith("v2.");
      for (const client of [undefined, "stranger"])
        expect((await version(port, folder, client)).status).toBeUndefined();
      const refused = await waitFor("two refusals", async () => {
        const lines = (await daemon.logs()).split("\n").filter((line) => line.includes("a client on TCP was refused"));
        return lines.length >= 2 && lines;
      });
      expect(refused.every((line) => line.includes("level=warning") && line.includes("why="))).toBe(true);
      // Words in the clear bring nothing, and harm nobody.
      const plain = createConnection(port, "127.0.0.1");
      plain.on("error", () => {});
      plain.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
      await new Promise((closed) => plain.once("close", closed));
      expect((await version(port, folder, "bob")).status).toBe("0");
    },
  );

  testNeeding(["root", "ctr", "registry"], "carries a blob of many megabytes whole", async () => {
    await using at = await bed();
    const blob = randomBytes(24 << 20);
    const digest = `sha256:${createHash("sha256").update(blob).digest("hex")}`;
    writeFileSync(join(at.folder, "blob"), blob);
    const ingested = await run([
      "sh",
      "-c",
      `ctr -a ${at.daemon.address} -n tls content ingest big < ${at.folder}/blob`,
    ]);
    expect(ingested.code).toBe(0);
    const request: ReadContentRequest = create(ReadContentRequestSchema, { digest });
    const method = "/containerd.services.content.v1.Content/Read";
    const answer = await call(at.port, at.folder, "alice", method, toBinary(ReadContentRequestSchema, request));
    expect(answer.status).toBe("0");
    const hash = createHash("sha256");
    for (const message of answer.messages) hash.update(fromBinary(ReadContentResponseSchema, message).data);
    expect(`sha256:${hash.digest("hex")}`).toBe(digest);
  });

  testNeeding(
    ["root", "ctr", "registry"],
    "lets in the common name that is configured, and takes new certificates by SIGHUP",
    async () => {
      await using at = await bed('tcp_tls_common_name = "alice"\n');
      const { daemon, port, folder } = at;
      expect((await version(port, folder, "alice")).server).toBe("server");
      expect((await version(port, folder, "bob")).status).toBeUndefined();
      expect(await daemon.logs()).toMatch(/a client on TCP was refused" .* commonName=bob/);
      // One of two files is not enough: the old ones stay.
      copyFileSync(join(folder, "server2.pem"), join(folder, "server.pem"));
      await reload(daemon, "does not belong to tls_cert");
      expect((await version(port, folder, "alice")).server).toBe("server");
      copyFileSync(join(folder, "server2.key"), join(folder, "server.key"));
      await reload(daemon, "no setting has changed");
      expect(await version(port, folder, "alice")).toMatchObject({ status: "0", server: "server2" });
      writeFileSync(
        join(daemon.workspace.folder, "config.toml"),
        `version = 3\n${at.config.replace('"alice"', '"bob"')}`,
      );
      await reload(daemon, "tls_common_name");
      expect([(await version(port, folder, "alice")).status, (await version(port, folder, "bob")).status]).toEqual([
        undefined,
        "0",
      ]);
    },
  );

  testNeeding(["root", "ctr"], "does not exist without all three files, and the daemon says why", async () => {
    const port = freePort();
    await using daemon = await startLighter({
      config: `[grpc]\ntcp_address = "127.0.0.1:${port}"\ntcp_tls_cert = "/c.pem"\n`,
    });
    expect(await daemon.logs()).toMatch(/level=warning msg="failed to load plugin" .*set tls_key, tls_ca/);
    const connected = Promise.withResolvers<boolean>();
    const socket = createConnection(port, "127.0.0.1", () => connected.resolve(true));
    socket.on("error", () => connected.resolve(false));
    expect(await connected.promise).toBe(false);
  });

  testNeeding(["root", "ctr", "registry"], "is no reason to start where another has its place", async () => {
    await using first = await bed();
    const folder = first.daemon.workspace.folder;
    const own = ["--root", `${folder}/r2`, "--state", `${folder}/s2`, "--address", `${folder}/2.sock`];
    const second = await run(["bin/lighterd", ...own, "--config", `${folder}/config.toml`]);
    expect(second.code).toBe(1);
    expect(second.stderr).toContain(`listen on tcp 127.0.0.1:${first.port}: `);
    expect(second.stderr).toContain("address already in use");
  });
});
