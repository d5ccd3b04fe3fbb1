import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import { ContainerDeleteSchema } from "../../src/gen/containerd/events/container_pb.ts";
import { Containers } from "../../src/gen/containerd/services/containers/v1/containers_pb.ts";
import { Events } from "../../src/gen/containerd/services/events/v1/events_pb.ts";
import { Images } from "../../src/gen/containerd/services/images/v1/images_pb.ts";
import { EnvelopeSchema } from "../../src/gen/containerd/types/event_pb.ts";
import { anyOf, anyOfJson, ociTypeUrls } from "../../src/wire/any.ts";
import { connectGrpc } from "../../src/wire/grpc/index.ts";
import type { ClientConnection } from "../../src/wire/service.ts";
import { missing, type RunResult, run, waitFor } from "../support/index.ts";
import { type ServedRooms, serveRooms } from "./served-rooms.ts";

const reason = missing(["ctr"]);
const ready = anyOf(ContainerDeleteSchema, create(ContainerDeleteSchema, { id: "ready" }));
const digest = `sha256:${"b".repeat(64)}`;

describe.skipIf(reason !== undefined)(
  `ctr drives the metadata rooms${reason === undefined ? "" : ` [${reason}]`}`,
  () => {
    let rooms: ServedRooms;
    let connection: ClientConnection;
    const ctr = (...args: string[]): Promise<RunResult> => run(["ctr", "-a", rooms.address, ...args]);
    const ok = async (...args: string[]): Promise<string> => {
      const { code, stdout, stderr } = await ctr(...args);
      expect([args.join(" "), code, stderr]).toEqual([args.join(" "), 0, ""]);
      return stdout;
    };

    beforeAll(async () => {
      rooms = await serveRooms();
      connection = await connectGrpc({ path: rooms.address });
    });
    afterAll(async () => {
      await connection[Symbol.asyncDispose]();
      await rooms[Symbol.asyncDispose]();
    });

    test("namespaces: create, ls, label, rm", async () => {
      await ok("namespaces", "create", "blue", "tier=web");
      await ok("namespaces", "label", "blue", "tier=db", "extra=1");
      expect(await ok("namespaces", "ls")).toMatch(/^NAME +LABELS *\nblue +extra=1,tier=db *\n$/);
      await ok("namespaces", "label", "blue", "extra=");
      expect(await ok("namespaces", "ls")).toMatch(/blue +tier=db *\n/);
      const again = await ctr("namespaces", "create", "blue");
      expect([again.code, again.stderr]).toEqual([1, 'ctr: namespace "blue": already exists\n']);
      expect(await ok("namespaces", "rm", "blue")).toBe("blue\n");
      expect(await ok("namespaces", "ls", "-q")).toBe("");
    });

    test("containers: create, ls, info, label, rm; the namespace that holds one stays", async () => {
      const inGreen = (...args: string[]): Promise<string> => ok("-n", "green", ...args);
      await inGreen("containers", "create", "--rootfs", "--label", "a=1", "/nowhere", "box", "true");
      expect(await inGreen("containers", "ls")).toMatch(
        /^CONTAINER +IMAGE +RUNTIME *\nbox +- +io\.containerd\.runc\.v2 *\n$/,
      );
      const info = JSON.parse(await inGreen("containers", "info", "box"));
      expect([info.ID, info.Labels, info.Spec.process.args]).toEqual(["box", { a: "1" }, ["true"]]);
      await inGreen("containers", "label", "box", "a=2", "b=3");
      expect(await inGreen("containers", "ls", "-q", "labels.a==2,labels.b~=^3$")).toBe("box\n");
      expect(await inGreen("containers", "ls", "-q", "labels.a==1")).toBe("");
      const refused = await ctr("namespaces", "rm", "green");
      expect(refused.code).toBe(1);
      expect(refused.stderr).toContain(
        'namespace "green" must be empty, but it still has containers: failed precondition',
      );
      const missingOne = await ctr("-n", "green", "containers", "info", "none");
      expect([missingOne.code, missingOne.stderr]).toEqual([
        1,
        'ctr: container "none" in namespace "green": not found\n',
      ]);
      const bad = await ctr("-n", "green", "containers", "create", "--rootfs", "/nowhere", "a/b", "true");
      expect(bad.stderr).toContain('container.ID: identifier "a/b" must match');
      await connection.client(Containers).delete({ id: "box" }, { namespace: "green" });
      expect(await inGreen("containers", "ls", "-q")).toBe("");
      await ok("namespaces", "rm", "green");
    });

    test("images: tag, ls, label, rm", async () => {
      const target = { mediaType: "application/vnd.oci.image.manifest.v1+json", digest, size: 3n };
      await connection
        .client(Images)
        .create({ image: { name: "docker.io/library/a:1", target } }, { namespace: "default" });
      expect(await ok("images", "ls", "-q")).toBe("docker.io/library/a:1\n");
      await ok("images", "label", "docker.io/library/a:1", "k=v");
      expect(await ok("images", "ls", "-q", "labels.k==v")).toBe("docker.io/library/a:1\n");
      expect(await ok("images", "ls", "-q", "name~=nothing")).toBe("");
      await ok("images", "rm", "--sync", "docker.io/library/a:1");
      expect(rooms.collections()).toBeGreaterThan(0);
      expect((await ctr("images", "rm", "docker.io/library/a:1")).stderr).toContain("not found");
    });

    test("leases: create, ls, rm", async () => {
      expect(await ok("leases", "create", "--id", "mine", "--expires", "1h", "a=b")).toBe("mine\n");
      const random = (await ok("leases", "create")).trim();
      expect(random).toMatch(/^\d{1,9}-[\w-]{4}$/);
      const listed = await ok("leases", "ls");
      expect(listed).toMatch(/mine +\S+ +a=b,containerd\.io\/gc\.expire=/);
      expect(await ok("leases", "ls", "-q", "id==mine")).toBe("mine\n");
      expect(await ok("leases", "rm", "mine", random)).toBe(`mine\n${random}\n`);
      expect((await ctr("leases", "rm", "mine")).stderr).toContain("not found");
    });

    test("events: a watcher sees everything, of all namespaces, in order", async () => {
      const watcher = Bun.spawn(["ctr", "-a", rooms.address, "events"], { stdout: "pipe", stderr: "inherit" });
      let seen = "";
      const reading = (async () => {
        const decoder = new TextDecoder();
        for await (const chunk of watcher.stdout) seen += decoder.decode(chunk, { stream: true });
      })();
      try {
        await waitFor("the subscription", async () => {
          await connection.client(Events).publish({ topic: "/ready", event: ready }, { namespace: "x" });
          return seen.includes("/ready");
        });
        await ok("namespaces", "create", "red", "c=d");
        await ok("-n", "red", "containers", "create", "--rootfs", "/nowhere", "box", "true");
        await connection.client(Containers).delete({ id: "box" }, { namespace: "red" });
        await ok("namespaces", "rm", "red");
        await waitFor("the last event", async () => seen.includes("/namespaces/delete"));
      } finally {
        watcher.kill();
        await reading;
      }
      const lines = seen.split("\n").filter((line) => line.includes(" red "));
      const [created, made, removed, gone] = lines.map((line) => line.slice(line.indexOf(" red ") + 5));
      expect(created).toBe('/namespaces/create {"name":"red","labels":{"c":"d"}}');
      expect(made).toStartWith('/containers/create {"id":"box","runtime":{"name":"io.containerd.runc.v2"');
      expect(removed).toBe('/containers/delete {"id":"box"}');
      expect(gone).toBe('/namespaces/delete {"name":"red"}');
      expect(lines.length).toBe(4);
    });

    test("a client that subscribes and then acts misses nothing", async () => {
      const events = connection.client(Events);
      const envelope = create(EnvelopeSchema, {
        namespace: "x",
        topic: "/first/one",
        timestamp: { seconds: 5n, nanos: 0 },
        event: anyOfJson(ociTypeUrls.process, {}),
      });
      for (let round = 0; round < 50; round++) {
        const stop = new AbortController();
        const stream = events
          .subscribe({ filters: ['topic=="/first/one"'] }, { signal: stop.signal })
          [Symbol.asyncIterator]();
        const first = stream.next();
        await events.forward({ envelope });
        expect((await first).value?.timestamp?.seconds).toBe(5n);
        stop.abort();
        await stream.return?.();
      }
    });

    test("a filter that doesn't parse is refused at once", async () => {
      const refused = await ctr("events", "topic=");
      expect(refused.code).toBe(1);
      expect(refused.stderr).toContain(
        "subscription error: failed parsing subscription filters: filters: parse error: [topic >|=|< ]",
      );
    });
  },
);
