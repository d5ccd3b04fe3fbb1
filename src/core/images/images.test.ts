import { describe, expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { type Image, ImageSchema } from "../../gen/containerd/services/images/v1/images_pb.ts";
import type { Envelope } from "../../gen/containerd/types/event_pb.ts";
import { createCtx } from "../../lib/ctx.ts";
import { failureText } from "../../lib/fault-testing.ts";
import { Instant } from "../../lib/instant.ts";
import { silentLogger } from "../../lib/log.ts";
import { createExchange } from "../events/index.ts";
import { createLeaseManager, type LeaseManager, leasesSchema } from "../leases/index.ts";
import { openTestMetadata } from "../metadata/testing.ts";
import { namespacesSchema } from "../namespaces/index.ts";
import { createImageStore, type ImageStore, imagesSchema } from "./index.ts";

const ctx = createCtx({ namespace: "n" });
const target = {
  mediaType: "application/vnd.oci.image.manifest.v1+json",
  digest: `sha256:${"a".repeat(64)}`,
  size: 7n,
};
const otherDigest = `sha256:${"b".repeat(64)}`;

interface Fixture extends AsyncDisposable {
  readonly store: ImageStore;
  readonly leases: LeaseManager;
  readonly events: AsyncIterator<Envelope>;
}

function fixture(): Fixture {
  const opened = openTestMetadata([namespacesSchema, leasesSchema, imagesSchema]);
  const exchange = createExchange({ log: silentLogger });
  const leases = createLeaseManager({ metadata: opened.metadata });
  return {
    store: createImageStore({ metadata: opened.metadata, exchange, leases, clock: () => Instant.ofMs(5000) }),
    leases,
    events: exchange.subscribe(createCtx(), [])[Symbol.asyncIterator](),
    [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
  };
}

const image = (name: string, labels: Record<string, string> = {}): Image =>
  create(ImageSchema, { name, labels, target });

describe("ImageStore", () => {
  test("a source date stands for the present", async () => {
    await using at = fixture();
    const made = await at.store.create(ctx, image("i"), { sourceDate: Instant.ofMs(1000) });
    expect([timestampMs(made.createdAt!), timestampMs(made.updatedAt!)]).toEqual([1000, 1000]);
    const later = await at.store.update(ctx, image("i"), { paths: [], sourceDate: Instant.ofMs(2000) });
    expect([timestampMs(later.createdAt!), timestampMs(later.updatedAt!)]).toEqual([1000, 2000]);
    const now = await at.store.update(ctx, image("i"), { paths: ["labels"] });
    expect(timestampMs(now.updatedAt!)).toBe(5000);
  });

  test("masks of annotations change the target's; without a mask everything is replaced", async () => {
    await using at = fixture();
    await at.store.create(ctx, {
      ...image("i", { l: "1" }),
      target: { ...image("i").target!, annotations: { a: "1", b: "2" } },
    });
    const wanted = { ...image("i"), target: { ...image("i").target!, annotations: { a: "9" } } };
    await at.store.update(ctx, wanted, { paths: ["annotations.a", "annotations.b"] });
    expect(at.store.get(ctx, "i").target?.annotations).toEqual({ a: "9" });
    expect(at.store.get(ctx, "i").labels).toEqual({ l: "1" });
    expect(at.store.list(ctx, ["annotations.a==9"]).length).toBe(1);
    await at.store.update(ctx, image("i"), { paths: [] });
    expect([at.store.get(ctx, "i").labels, at.store.get(ctx, "i").target?.annotations]).toEqual([{}, {}]);
  });

  test("deletes only while the target is the one that was meant", async () => {
    await using at = fixture();
    await at.store.create(ctx, image("i"));
    expect(await failureText(() => at.store.delete(ctx, "i", { targetDigest: otherDigest }))).toBe(
      `notFound: image "i" has target ${target.digest}, not ${otherDigest}: not found`,
    );
    await at.store.delete(ctx, "i", { targetDigest: target.digest });
    expect(await failureText(() => at.store.get(ctx, "i"))).toBe('notFound: image "i": not found');
  });

  test("an expiring image goes under the caller's lease; any other does not", async () => {
    await using at = fixture();
    await at.leases.create(ctx, { id: "lease", labels: new Map() });
    const leased = createCtx({ namespace: "n", lease: "lease" });
    await at.store.create(leased, image("plain"));
    await at.store.create(leased, image("expiring", { "containerd.io/gc.expire": "2026-01-01T00:00:00Z" }));
    expect(at.leases.listResources(ctx, "lease")).toEqual([{ type: "images", id: "expiring" }]);
    await at.store.delete(leased, "expiring");
    expect(at.leases.listResources(ctx, "lease")).toEqual([]);
  });

  test("an unknown lease fails the creation, and nothing of it stays", async () => {
    await using at = fixture();
    const leased = createCtx({ namespace: "n", lease: "none" });
    const expiring = image("e", { "containerd.io/gc.expire": "2026-01-01T00:00:00Z" });
    expect(await failureText(() => at.store.create(leased, expiring))).toBe(
      "notFound: lease does not exist: not found",
    );
    expect(at.store.list(ctx, [])).toEqual([]);
  });

  test("tells of each change under the package that images' events have", async () => {
    await using at = fixture();
    await at.store.create(ctx, image("i"));
    await at.store.update(ctx, image("i"), { paths: [] });
    await at.store.delete(ctx, "i");
    const seen = [await at.events.next(), await at.events.next(), await at.events.next()].map(
      ({ value }) => value as Envelope,
    );
    expect(seen.map((envelope) => [envelope.topic, envelope.event?.typeUrl])).toEqual([
      ["/images/create", "containerd.services.images.v1.ImageCreate"],
      ["/images/update", "containerd.services.images.v1.ImageUpdate"],
      ["/images/delete", "containerd.services.images.v1.ImageDelete"],
    ]);
  });
});
