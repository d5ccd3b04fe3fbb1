import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createCtx } from "../../lib/ctx.ts";
import { failureOf } from "../content/testing.ts";
import type { ResourceNode } from "./gc.ts";
import { type CollectedRooms, openRooms, putBlob, putContainer, putImage, putLayer, testing } from "./testing.ts";

const gc = (rest: string): string => `containerd.io/gc.${rest}`;
const hour = 3_600_000;
const at = (ms: number): string => new Date(Date.now() + ms).toISOString();

describe("a collection", () => {
  let rooms: CollectedRooms;
  beforeEach(async () => {
    rooms = await openRooms();
  });
  afterEach(() => rooms[Symbol.asyncDispose]());

  const collect = () => rooms.gc.collect(testing);
  const blobs = (): string[] => rooms.content.list(testing, []).map((info) => info.digest);
  const snapshots = (): string[] => rooms.overlay.list(testing, []).map((info) => info.name);
  const images = (): string[] => rooms.images.list(testing, []).map((image) => image.name);

  test("keeps what an image holds, through labels of content, and removes the rest, files too", async () => {
    const layer = await putBlob(rooms, "layer");
    const config = await putBlob(rooms, "config", { [gc("ref.snapshot.overlayfs")]: "top" });
    const manifest = await putBlob(rooms, "manifest", {
      [gc("ref.content.config")]: config,
      [gc("ref.content/l.0")]: layer,
    });
    const index = await putBlob(rooms, "index", { [gc("ref.content")]: manifest });
    const ignored = await putBlob(rooms, "ignored");
    const holder = await putBlob(rooms, "holder", { [gc("ref.contentious")]: ignored });
    await putImage(rooms, "image", index, { [gc("ref.content.x")]: holder });
    await putLayer(rooms, "base");
    await putLayer(rooms, "top", "base");
    await putLayer(rooms, "loose", "base");
    await rooms.overlay.prepare(testing, "unleased", "top");
    const stats = await collect();
    expect(blobs()).toEqual([layer, config, manifest, index, holder].sort());
    expect(snapshots()).toEqual(["base", "top"]);
    expect(Object.fromEntries(stats.removed)).toEqual({ content: 1, snapshot: 2 });
    expect(readdirSync(join(rooms.root, "content", "blobs", "sha256"))).toHaveLength(5);
    expect(readdirSync(join(rooms.root, "overlayfs", "snapshots"))).toHaveLength(2);
    await rooms.images.delete(testing, "image");
    await collect();
    expect([blobs(), snapshots()]).toEqual([[], []]);
    expect(readdirSync(join(rooms.root, "content", "blobs", "sha256"))).toEqual([]);
    expect(readdirSync(join(rooms.root, "overlayfs", "snapshots"))).toEqual([]);
  });

  test("keeps roots, what containers stand on, and what live leases name", async () => {
    const rooted = await putBlob(rooms, "rooted", { [gc("root")]: at(0) });
    const labelled = await putBlob(rooms, "labelled");
    await putLayer(rooms, "base");
    await putLayer(rooms, "rooted", "", { [gc("root")]: "yes" });
    await rooms.overlay.prepare(testing, "active", "base");
    await putContainer(rooms, "c", "active", { [gc("ref.content.y")]: labelled });
    const leased = await putBlob(rooms, "leased");
    await rooms.leases.create(testing, { id: "l", labels: new Map([[gc("expire"), at(hour)]]) });
    await rooms.leases.addResource(testing, "l", { type: "content", id: leased });
    await rooms.leases.create(testing, { id: "late", labels: new Map([[gc("expire"), at(-hour)]]) });
    const late = await putBlob(rooms, "late");
    await rooms.leases.addResource(testing, "late", { type: "content", id: late });
    await rooms.leases.create(testing, { id: "odd", labels: new Map([[gc("expire"), "no time"]]) });
    await collect();
    expect(blobs()).toEqual([rooted, labelled, leased].sort());
    expect(snapshots()).toEqual(["active", "base", "rooted"]);
    expect(rooms.leases.list(testing, []).map((lease) => lease.id)).toEqual(["l", "odd"]);
    await rooms.containers.delete(testing, "c");
    await rooms.leases.delete(testing, "l");
    await collect();
    expect([blobs(), snapshots()]).toEqual([[rooted], ["rooted"]]);
  });

  test("a flat lease keeps what it names, and of that nothing but parents and targets", async () => {
    const child = await putBlob(rooms, "child");
    const parent = await putBlob(rooms, "parent", { [gc("ref.content.0")]: child });
    await putImage(rooms, "image", parent, { [gc("expire")]: at(-hour), [gc("ref.content.z")]: child });
    const held = await putBlob(rooms, "held by a layer");
    await putLayer(rooms, "base");
    await putLayer(rooms, "top", "base", { [gc("ref.content.0")]: held });
    await rooms.leases.create(testing, { id: "flat", labels: new Map([[gc("flat"), "1"]]) });
    await rooms.leases.addResource(testing, "flat", { type: "images", id: "image" });
    await rooms.leases.addResource(testing, "flat", { type: "snapshots/overlayfs", id: "top" });
    await collect();
    expect([blobs(), snapshots(), images()]).toEqual([[parent], ["base", "top"], ["image"]]);
  });

  test("an expired image goes unless another object holds it, with an event", async () => {
    const one = await putBlob(rooms, "one");
    const two = await putBlob(rooms, "two", { [gc("root")]: "1", [gc("ref.image.a")]: "held" });
    await putImage(rooms, "gone", one, { [gc("expire")]: at(-hour) });
    await putImage(rooms, "held", two, { [gc("expire")]: at(-hour) });
    await putImage(rooms, "later", two, { [gc("expire")]: at(hour) });
    const stop = new AbortController();
    const events = rooms.exchange.subscribe(createCtx({ signal: stop.signal }), ['topic=="/images/delete"']);
    const next = events[Symbol.asyncIterator]().next();
    await collect();
    expect([images(), blobs()]).toEqual([["held", "later"], [two]]);
    const event = (await next).value;
    expect([event?.topic, event?.namespace]).toEqual(["/images/delete", "testing"]);
    stop.abort();
  });

  test("back references tie an object to the life of another", async () => {
    const base = await putBlob(rooms, "base");
    const toImage = await putBlob(rooms, "image's", { [gc("bref.image.x")]: "image" });
    const toContent = await putBlob(rooms, "content's", { [gc("bref.content")]: toImage });
    const toSnapshot = await putBlob(rooms, "snapshot's", { [gc("bref.snapshot.overlayfs/a")]: "layer" });
    const toContainer = await putBlob(rooms, "container's", { [gc("bref.container")]: "c" });
    await putBlob(rooms, "nobody's", { [gc("bref.container")]: "none" });
    await putImage(rooms, "image", base);
    await putLayer(rooms, "layer");
    await putContainer(rooms, "c", "layer");
    await collect();
    expect(blobs()).toEqual([base, toImage, toContent, toSnapshot, toContainer].sort());
    await rooms.containers.delete(testing, "c");
    await rooms.images.delete(testing, "image");
    await collect();
    expect(blobs()).toEqual([]);
  });

  test("a conditional reference counts while its condition is met", async () => {
    const target = await putBlob(rooms, "target");
    const used = gc("cond.value-usedat");
    await putImage(rooms, "image", target, {
      [gc("cond.snapshot.overlayfs/1")]: "usedat<1h|fresh",
      [gc("cond.snapshot.overlayfs/2")]: "usedat<1h,other=1|stale",
      [gc("cond.snapshot.overlayfs/3")]: "usedat<1h,usedat>2h|either",
      [gc("cond.snapshot.overlayfs/4")]: "usedat<=1h|unknown",
    });
    await putLayer(rooms, "fresh", "", { [used]: new Date().toISOString().replace(/\.\d+/, "") });
    await putLayer(rooms, "stale", "", { [used]: at(-1.5 * hour) });
    await putLayer(rooms, "either", "", { [used]: at(-3 * hour) });
    await putLayer(rooms, "unknown", "", { [used]: at(0) });
    await collect();
    expect(snapshots()).toEqual(["either", "fresh"]);
  });

  test("unfinished writes go after their time, and not while somebody writes", async () => {
    await using _open = await rooms.content.writer(testing, { ref: "open" });
    for (const ref of ["fresh", "old", "leased"]) {
      await rooms.leases.create(testing, { id: ref, labels: new Map() });
      await using writer = await rooms.content.writer(
        ref === "leased" ? createCtx({ namespace: "testing", lease: ref }) : testing,
        { ref },
      );
      await writer.write(new TextEncoder().encode(ref));
    }
    await rooms.metadata.update(({ db }) => {
      db.query("UPDATE content_ingests SET expire_at = ? WHERE ref IN ('old', 'open')").run(Date.now() - hour);
    });
    await collect();
    const refs = async (): Promise<string[]> =>
      (await rooms.content.listStatuses(testing, [])).map((status) => status.ref);
    expect(await refs()).toEqual(["fresh", "leased", "open"]);
    await rooms.leases.delete(testing, "leased");
    await collect();
    expect(await refs()).toEqual(["fresh", "open"]);
    expect(readdirSync(join(rooms.root, "content", "ingest"))).toHaveLength(2);
  });

  test("namespaces hold their own, and share files", async () => {
    const other = createCtx({ namespace: "other" });
    const digest = await putBlob(rooms, "both", { [gc("root")]: "1" });
    {
      await using writer = await rooms.content.writer(other, { ref: "r", expected: digest });
      await writer.commit(other, { expected: digest });
    }
    await collect();
    expect([rooms.content.list(other, []).length, blobs()]).toEqual([0, [digest]]);
    await using file = await rooms.content.file(testing, digest);
    expect(await Bun.file(file.path).text()).toBe("both");
  });

  test("objects without rows hold, and are let go of", async () => {
    const held = await putBlob(rooms, "held by a stream");
    const image = await putBlob(rooms, "image", { [gc("ref.stream.a")]: "named" });
    await putImage(rooms, "image", image);
    await rooms.leases.create(testing, { id: "l", labels: new Map() });
    const removed: string[] = [];
    const node = (key: string): ResourceNode => ({ kind: "stream", namespace: "testing", key });
    using _registered = rooms.gc.register({
      kind: "stream",
      referenceLabel: "stream",
      all: () => ["live", "leased", "named", "dead"].map(node),
      active: () => [node("live")],
      leased: (_namespace, lease) => (lease === "l" ? [node("leased")] : []),
      references: (one) => (one.key === "live" ? [{ kind: "content", namespace: "testing", key: held }] : []),
      remove: (one) => void removed.push(one.key),
    });
    await collect();
    expect([removed, blobs()]).toEqual([["dead"], [held, image].sort()]);
  });

  test("tells by which path something is kept, and who uses how much", async () => {
    const layer = await putBlob(rooms, "layer of some length");
    const manifest = await putBlob(rooms, "manifest", { [gc("ref.content.l.0")]: layer });
    await putImage(rooms, "image", manifest);
    await putImage(rooms, "again", layer);
    const loose = await putBlob(rooms, "loose");
    const node = (key: string): ResourceNode => ({ kind: "content", namespace: "testing", key });
    expect(await rooms.gc.explain(testing, node(manifest))).toEqual([
      { node: { kind: "image", namespace: "testing", key: "image" }, how: "root" },
      { node: node(manifest), how: "target" },
    ]);
    expect(await rooms.gc.explain(testing, node(loose))).toBeUndefined();
    const missing = await failureOf(() => rooms.gc.explain(testing, node(`sha256:${"0".repeat(64)}`)));
    expect(missing.kind).toBe("notFound");
    const usage = await rooms.gc.usage(testing);
    expect(usage.kinds.get("content")).toEqual({ objects: 3, sizeBytes: 33 });
    expect(usage.unused).toEqual({ objects: 1, sizeBytes: 5 });
    expect(usage.holders.map((one) => [one.node.key, one.sizeBytes, one.uniqueBytes])).toEqual([
      ["image", 28, 8],
      ["again", 20, 0],
    ]);
  });

  test("who uses how much counts what a container has written, and leaves out what goes meanwhile", async () => {
    await putLayer(rooms, "base");
    await putContainer(rooms, "writer", "active");
    const [mount] = await rooms.overlay.prepare(testing, "active", "base");
    const upper = mount?.options.find((option) => option.startsWith("upperdir="))?.slice("upperdir=".length) ?? "";
    await rooms.overlay.prepare(createCtx({ namespace: "other" }), "elsewhere", "");
    const before = await rooms.gc.usage(testing);
    writeFileSync(join(upper, "written"), Buffer.alloc(1 << 20, "x"));
    const usage = await rooms.gc.usage(testing);
    const grown = (of: typeof usage): number => of.kinds.get("snapshot")?.sizeBytes ?? 0;
    expect(usage.kinds.get("snapshot")?.objects).toBe(2);
    expect(grown(usage) - grown(before)).toBe(1 << 20);
    const holder = usage.holders.find(({ node }) => node.key === "writer");
    // Its folders take blocks of their own, as many as the filesystem likes.
    expect(holder?.uniqueBytes).toBeGreaterThanOrEqual(1 << 20);
    const going = rooms.gc.usage(testing);
    await rooms.overlay.remove(testing, "active");
    // It was counted before it went, or was not: either is right.
    expect((await going).kinds.get("snapshot")?.objects).toBeLessThanOrEqual(2);
  });

  test("what is made, changed or referred to while it runs is kept", async () => {
    const made: Promise<unknown>[] = [];
    const moved = await putBlob(rooms, "moved between leases");
    await rooms.leases.create(testing, { id: "a", labels: new Map() });
    await rooms.leases.create(testing, { id: "z", labels: new Map() });
    await rooms.leases.addResource(testing, "z", { type: "content", id: moved });
    const layer = await putBlob(rooms, "layer");
    const manifest = await putBlob(rooms, "manifest", { [gc("ref.content.0")]: layer });
    await putLayer(rooms, "base");
    await putLayer(rooms, "top", "base");
    await rooms.leases.addResource(testing, "z", { type: "snapshots/overlayfs", id: "top" });
    for (let index = 0; index < 300; index++) await putBlob(rooms, `garbage ${index}`);
    const begun = Promise.withResolvers<void>();
    const collector = { kind: "probe", all: () => [], leased: () => [], remove: () => {} };
    using _probe = rooms.gc.register({
      ...collector,
      active: () => {
        begun.resolve();
        return [];
      },
    });
    const collection = collect();
    await begun.promise;
    // The reference goes from a lease that may be unseen yet to one that may have been seen.
    made.push(rooms.leases.addResource(testing, "a", { type: "content", id: moved }));
    made.push(rooms.leases.deleteResource(testing, "z", { type: "content", id: moved }));
    made.push(putBlob(rooms, "new"));
    made.push(putImage(rooms, "image", manifest));
    made.push(
      rooms.overlay
        .prepare(testing, "active", "top")
        .then(() => rooms.leases.deleteResource(testing, "z", { type: "snapshots/overlayfs", id: "top" })),
    );
    await Promise.all(made);
    await collection;
    expect(blobs()).toEqual(expect.arrayContaining([moved, layer, manifest]));
    expect(blobs().length).toBeLessThan(10);
    expect(snapshots()).toEqual(["active", "base", "top"]);
    await collect();
    expect(blobs()).toEqual([moved, layer, manifest].sort());
    expect(snapshots()).toEqual([]);
  });
});
