import { describe, expect } from "bun:test";
import fs from "node:fs/promises";
import path from "node:path";
import { create } from "@bufbuild/protobuf";
import {
  Content,
  WriteAction,
  WriteContentRequestSchema,
} from "../../src/gen/containerd/services/content/v1/content_pb.ts";
import { connectGrpc } from "../../src/wire/grpc/index.ts";
import { busyboxImage, collectsWhenAsked, type Daemon, sharedDaemon } from "../support/index.ts";
import { lighter, lighterOk } from "./support.ts";

/** Leaves a write unfinished. */
async function beginWrite(daemon: Daemon, ref: string, text: string): Promise<void> {
  await using connection = await connectGrpc({ path: daemon.address });
  async function* requests() {
    yield create(WriteContentRequestSchema, { action: WriteAction.WRITE, ref, data: Buffer.from(text) });
  }
  const call = { namespace: daemon.namespace };
  for await (const _ of connection.client(Content, call).write(requests())) continue;
}

describe("lighter and the stores, by the small commands", () => {
  const shared = sharedDaemon({ config: collectsWhenAsked });

  shared.test("content abort gives up what is unfinished, and says which is not there", async (daemon) => {
    await beginWrite(daemon, "half-a", "some bytes");
    await beginWrite(daemon, "half-b", "others");
    expect((await lighterOk(daemon, ["content", "active", "-q"])).trim().split("\n").sort()).toEqual([
      "half-a",
      "half-b",
    ]);
    const result = await lighter(daemon, ["content", "abort", "half-a", "none", "half-b"]);
    expect(result).toMatchObject({ code: 1, stdout: "half-a\nhalf-b\n", stderr: expect.stringContaining("none") });
    expect(await lighterOk(daemon, ["content", "active", "-q"])).toBe("");
    const ingests = path.join(daemon.root, "io.containerd.content.v1.content/ingest");
    expect(await fs.readdir(ingests)).toEqual([]);
  });

  shared.test("snapshot view reads an image, info tells of it, usage of what it takes", async (daemon) => {
    const made = await lighterOk(daemon, ["snapshot", "view", "look", busyboxImage]);
    expect(made).toMatch(/^mount -t overlay overlay .*lowerdir=/);
    const [info] = JSON.parse(await lighterOk(daemon, ["snapshot", "info", "look"]));
    expect(info).toMatchObject({ name: "look", kind: "view", usedBy: [{ kind: "snapshot", key: "overlayfs/look" }] });
    const [parent] = JSON.parse(await lighterOk(daemon, ["snapshot", "info", info.parent]));
    expect(parent.kind).toBe("committed");
    expect(parent.usedBy).toContainEqual({ kind: "image", key: busyboxImage });
    const [deepest] = JSON.parse(await lighterOk(daemon, ["snapshot", "usage", "--json"]));
    expect(deepest.sizeBytes).toBeGreaterThan(500_000);
    const table = await lighterOk(daemon, ["snapshot", "usage", "-b", deepest.name, "look"]);
    expect(table).toMatch(/^NAME +SIZE +INODES\n/);
    expect(table).toMatch(new RegExp(` ${deepest.sizeBytes} +${deepest.inodes}\n`));
    expect(await lighter(daemon, ["snapshot", "info", "nowhere"])).toMatchObject({ code: 1, stdout: "" });
    expect(await lighter(daemon, ["snapshot", "view", "look", busyboxImage])).toMatchObject({ code: 1 });
    await lighterOk(daemon, ["snapshot", "rm", "look"]);
  });

  shared.test("lease add takes images too, and --remove lets go of them", async (daemon) => {
    await lighterOk(daemon, ["tag", busyboxImage, "kept:1"]);
    const id = (await lighterOk(daemon, ["lease", "create", "-x", "1h"])).trim();
    expect(await lighterOk(daemon, ["lease", "add", id, "image:kept:1"])).toMatch(/^image:.*kept:1\n$/);
    const [resource] = JSON.parse(await lighterOk(daemon, ["lease", "resources", "--json", id]));
    expect(resource.kind).toBe("image");
    const refused = await lighter(daemon, ["lease", "add", id, "image:none:1"]);
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining("none") });
    expect(await lighter(daemon, ["lease", "add", id, "kept:1"])).toMatchObject({ code: 2 });
    expect(await lighterOk(daemon, ["lease", "add", "--remove", id, "image:kept:1"])).toContain("kept:1");
    expect(JSON.parse(await lighterOk(daemon, ["lease", "resources", "--json", id]))).toEqual([]);
    await lighterOk(daemon, ["lease", "rm", id]);
    await lighterOk(daemon, ["rmi", "kept:1"]);
  });
});
