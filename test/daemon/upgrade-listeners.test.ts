import { describe, expect } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { connect as connectTls } from "node:tls";
import { create } from "@bufbuild/protobuf";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import { Events as TtrpcEvents } from "../../src/gen/containerd/services/events/ttrpc/v1/events_pb.ts";
import { EnvelopeSchema } from "../../src/gen/containerd/types/event_pb.ts";
import { System } from "../../src/gen/lighter/system/v1/system_pb.ts";
import { messageOf } from "../../src/lib/faults.ts";
import { connectTtrpc } from "../../src/wire/ttrpc/index.ts";
import { createWorkspace, type Daemon, startLighter, testNeeding, waitFor } from "../support/index.ts";
import { connectAgainAndAgain, type Reconnecting } from "../support/reconnecting.ts";
import { call, makeCertificates } from "./tls-client.ts";

const launcher = resolve(import.meta.dir, "../../bin/lighterd");
const limitMs = 60_000;

describe("another program in the daemon's place", () => {
  testNeeding(
    ["root", "ctr", "registry"],
    "goes on with every socket, also of TCP with a port of the kernel's choice, and refuses nobody",
    async () => {
      await using scene = await Scene.create();
      await using knocking = new Knocking(scene);
      for (let round = 0; round < 3; round++) {
        await knocking.everywhere();
        await scene.upgrade();
        expect(scene.ports()).toEqual(knocking.ports);
      }
      await knocking.everywhere();
      expect(knocking.refusals).toEqual([]);
      expect(scene.client.refusals).toEqual([]);
    },
    240_000,
  );

  testNeeding(
    ["root", "ctr", "registry"],
    "gives every socket back when it fails, and leaves nothing of its own",
    async () => {
      await using scene = await Scene.create();
      const { folder } = scene.daemon.workspace;
      await using knocking = new Knocking(scene);
      await knocking.everywhere();
      const late = scene.config({ metrics: join(folder, "m2.sock"), debug: join(folder, "d2.sock") });
      // A socket that cannot be had is found out after all of the others.
      await writeFile(join(folder, "late.toml"), `${late}tcp_address = "192.0.2.1:1"\n`);
      const failing = join(folder, "failing");
      await writeFile(failing, `#!/bin/sh\nexec "${launcher}" "$@" --config ${join(folder, "late.toml")}\n`, {
        mode: 0o755,
      });
      const before = await scene.state();
      await scene.client.client(System).upgrade({ path: failing });
      await waitFor("the upgrade to fail", async () => (await scene.state()).failure.includes("192.0.2.1:1"), limitMs);
      expect((await scene.state()).pid).toBe(before.pid);
      await knocking.everywhere();
      expect(scene.ports()).toEqual(knocking.ports);
      expect([existsSync(join(folder, "m2.sock")), existsSync(join(folder, "d2.sock"))]).toEqual([false, false]);
      expect(knocking.refusals).toEqual([]);
      expect(scene.client.refusals).toEqual([]);
    },
    240_000,
  );

  testNeeding(
    ["root", "ctr", "registry"],
    "opens what its configuration names in another place, and lets the old one go",
    async () => {
      await using scene = await Scene.create();
      const { folder } = scene.daemon.workspace;
      const old = scene.ports();
      await scene.configure({ metrics: join(folder, "m2.sock"), debug: join(folder, "d2.sock") });
      await scene.upgrade();
      const page = await fetch("http://metrics/v1/metrics", { unix: join(folder, "m2.sock") });
      expect(page.status).toBe(200);
      expect(await page.text()).toContain("process_start_time_seconds");
      expect((await fetch("http://debug/debug/vars", { unix: join(folder, "d2.sock") })).status).toBe(200);
      await waitFor("the old ones to go", () => !existsSync(join(folder, "debug.sock")), limitMs);
      expect(await fetch(`http://${old.metrics}/v1/metrics`).then(() => "", messageOf)).not.toBe("");
      expect(scene.ports().tls).toBe(old.tls);
    },
    120_000,
  );
});

interface Places {
  readonly metrics: string;
  readonly debug: string;
}

/** A daemon with a socket of every kind. */
class Scene implements AsyncDisposable {
  readonly daemon: Daemon;
  readonly certificates: string;
  readonly client: Reconnecting;
  readonly #stack: AsyncDisposableStack;
  readonly #first: number;

  private constructor(daemon: Daemon, certificates: string, stack: AsyncDisposableStack) {
    this.daemon = daemon;
    this.#first = daemon.pid;
    this.certificates = certificates;
    this.client = connectAgainAndAgain(daemon.address);
    this.#stack = stack;
  }

  static async create(): Promise<Scene> {
    await using stack = new AsyncDisposableStack();
    const { folder } = stack.use(await createWorkspace());
    await makeCertificates(folder);
    const places = { metrics: "127.0.0.1:0", debug: join(folder, "first.sock") };
    const daemon = stack.use(await startLighter({ config: configOf(folder, places, true) }));
    const scene = new Scene(daemon, folder, stack.move());
    // The folder of the daemon's own is known only now.
    await scene.configure({ ...places, debug: scene.debug });
    await scene.upgrade();
    return scene;
  }

  get debug(): string {
    return join(this.daemon.workspace.folder, "debug.sock");
  }

  /** Without the TCP address of gRPC, which is its last key. */
  config(places: Places): string {
    return `version = 3\n${configOf(this.certificates, places, false)}`;
  }

  async configure(places: Places): Promise<void> {
    const text = `version = 3\n${configOf(this.certificates, places, true)}`;
    await writeFile(join(this.daemon.workspace.folder, "config.toml"), text);
  }

  /** Where metrics and gRPC over TLS were served last, by the log. */
  ports(): { readonly metrics: string; readonly tls: string } {
    const log = readFileSync(join(this.daemon.workspace.folder, "daemon.log"), "utf8");
    const last = (what: string): string =>
      [...log.matchAll(new RegExp(`msg="serving ${what}".* address=([^\\s"]+)`, "g"))].at(-1)?.[1] ?? "";
    return { metrics: last("metrics"), tls: last("gRPC over TLS") };
  }

  state() {
    return this.client.client(System).upgradeState({});
  }

  /** Puts this checkout's program in the daemon's place, and waits until it serves. */
  async upgrade(): Promise<void> {
    const before = await this.state();
    await this.client.client(System).upgrade({});
    await waitFor("another daemon", async () => (await this.state()).pid !== before.pid, limitMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { pid } = await this.state();
    await this.client[Symbol.asyncDispose]();
    if (pid !== this.#first) {
      process.kill(pid, "SIGTERM");
      await waitFor("its end", () => !existsSync(`/proc/${pid}`), limitMs);
    }
    // The harness knows the first one alone, which has ended, and starts it again to clear away.
    await this.daemon.stop();
    await this.#stack.disposeAsync();
  }
}

function configOf(folder: string, { metrics, debug }: Places, isWhole: boolean): string {
  const file = (name: string): string => JSON.stringify(join(folder, name));
  return `[metrics]
address = "${metrics}"
[debug]
address = "${debug}"
[grpc]
tcp_tls_ca = ${file("ca.pem")}
tcp_tls_cert = ${file("server.pem")}
tcp_tls_key = ${file("server.key")}
${isWhole ? 'tcp_address = "127.0.0.1:0"\n' : ""}`;
}

/** Clients that come to every socket again and again, each over a new connection. */
class Knocking implements AsyncDisposable {
  readonly ports: { readonly metrics: string; readonly tls: string };
  readonly refusals: string[] = [];
  readonly #scene: Scene;
  readonly #answered = new Map<string, number>();
  readonly #clients: readonly Promise<void>[];
  #isOver = false;

  constructor(scene: Scene) {
    this.#scene = scene;
    this.ports = scene.ports();
    const { address } = scene.daemon;
    this.#clients = [
      this.#knock("metrics", async () => {
        const page = await fetch(`http://${this.ports.metrics}/v1/metrics`, { keepalive: false });
        if (!(await page.text()).includes("process_start_time_seconds")) throw new Error(`status ${page.status}`);
      }),
      this.#knock("debug", async () => {
        const page = await fetch("http://debug/debug/vars", { unix: scene.debug, keepalive: false });
        await page.json();
      }),
      this.#knock("ttrpc", async () => {
        await using connection = await connectTtrpc({ path: `${address}.ttrpc` });
        const envelope = create(EnvelopeSchema, { namespace: "n", topic: "/t", timestamp: timestampNow() });
        // One whose call the end of a daemon cut off is to come again: it was not refused.
        await connection.client(TtrpcEvents).forward({ envelope }).catch(onlyUnavailable);
      }),
      this.#knock("tls", () => handshake(this.ports.tls, scene.certificates)),
    ];
  }

  /** Waits until some clients of each socket were answered that have come from now on, and a call came through over TLS. */
  async everywhere(): Promise<void> {
    const before = new Map(this.#answered);
    const all = ["metrics", "debug", "ttrpc", "tls"];
    const count = (what: string): number => (this.#answered.get(what) ?? 0) - (before.get(what) ?? 0);
    const enough = (): boolean => {
      const missing = all.filter((what) => count(what) < 3);
      // What is said where it takes too long.
      if (missing.length > 0) throw new Error([...missing, ...this.refusals].join("; "));
      return true;
    };
    await waitFor("answers", enough, limitMs);
    const port = Number(this.ports.tls.split(":").at(-1));
    const version = "/containerd.services.version.v1.Version/Version";
    const answered = () => call(port, this.#scene.certificates, "alice", version, new Uint8Array());
    await waitFor("a call over TLS", async () => (await answered()).status === "0", limitMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#clients);
  }

  async #knock(what: string, visit: () => Promise<void>): Promise<void> {
    while (!this.#isOver) {
      try {
        await visit();
        this.#answered.set(what, (this.#answered.get(what) ?? 0) + 1);
      } catch (error) {
        this.refusals.push(`${what}: ${messageOf(error)}`);
      }
      await Bun.sleep(1);
    }
  }
}

function onlyUnavailable(error: unknown): void {
  if (!/unavailable|reset|closed/i.test(messageOf(error))) throw error;
}

/** Settles when both have shown who they are. */
function handshake(address: string, folder: string): Promise<void> {
  const read = (name: string): Buffer => readFileSync(join(folder, name));
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const port = Number(address.split(":").at(-1));
  const own = { ca: read("ca.pem"), cert: read("alice.pem"), key: read("alice.key") };
  const socket = connectTls({ host: "127.0.0.1", port, ...own, ALPNProtocols: ["h2"] });
  // The server's first frame: what a client says and is not let in with would come in its place.
  socket.once("secureConnect", () => socket.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"));
  socket.once("data", () => resolve());
  socket.once("error", reject);
  socket.once("close", () => reject(new Error("hung up")));
  return promise.finally(() => socket.destroy());
}
