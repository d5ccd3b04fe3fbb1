import { describe, expect, test } from "bun:test";
import { createCtx } from "../../lib/ctx.ts";
import { failureText } from "../../lib/fault-testing.ts";
import { Instant } from "../../lib/instant.ts";
import { type Metadata } from "../metadata/index.ts";
import { openTestMetadata } from "../metadata/testing.ts";
import { namespacesSchema } from "../namespaces/index.ts";
import { createLeaseManager, type LeaseManager, leasesSchema } from "./index.ts";

const ctx = createCtx({ namespace: "n" });
const digest = `sha256:${"c".repeat(64)}`;
const none: ReadonlyMap<string, string> = new Map();

interface Fixture extends AsyncDisposable {
  readonly manager: LeaseManager;
  readonly metadata: Metadata;
}

function fixture(): Fixture {
  const opened = openTestMetadata([namespacesSchema, leasesSchema]);
  return {
    manager: createLeaseManager({
      metadata: opened.metadata,
      clock: () => Instant.of({ seconds: 1, nanos: 234_567_891 }),
    }),
    metadata: opened.metadata,
    [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
  };
}

describe("LeaseManager", () => {
  test("an id that is left out becomes one of containerd's shape", async () => {
    await using at = fixture();
    const [one, two] = await Promise.all([
      at.manager.create(ctx, { id: "", labels: none }),
      at.manager.create(ctx, { id: "", labels: none }),
    ]);
    expect(one?.id).toMatch(/^\d{1,9}-[\w-]{4}$/);
    expect(two?.id).not.toBe(one?.id);
    expect(one?.createdAt).toEqual(Instant.of({ seconds: 1, nanos: 234_567_891 }));
  });

  test("keeps expiry labels and lists by filters, per namespace", async () => {
    await using at = fixture();
    const labels = new Map([["containerd.io/gc.expire", "2026-01-01T00:00:00Z"]]);
    await at.manager.create(ctx, { id: "a", labels });
    await at.manager.create(ctx, { id: "b", labels: none });
    await at.manager.create(createCtx({ namespace: "m" }), { id: "a", labels: none });
    expect(at.manager.list(ctx, []).map((lease) => lease.id)).toEqual(["a", "b"]);
    expect(at.manager.list(ctx, ['labels."containerd.io/gc.expire"'])).toEqual([
      { id: "a", createdAt: Instant.of({ seconds: 1, nanos: 234_567_891 }), labels },
    ]);
  });

  test("deleting a lease lets its resources go, and no other's", async () => {
    await using at = fixture();
    for (const id of ["a", "b"]) {
      await at.manager.create(ctx, { id, labels: none });
      await at.manager.addResource(ctx, id, { type: "content", id: digest });
    }
    await at.manager.delete(ctx, "a");
    await at.manager.create(ctx, { id: "a", labels: none });
    expect(at.manager.listResources(ctx, "a")).toEqual([]);
    expect(at.manager.listResources(ctx, "b")).toEqual([{ type: "content", id: digest }]);
  });

  test("lists resources by type and id", async () => {
    await using at = fixture();
    await at.manager.create(ctx, { id: "a", labels: none });
    const resources = [
      { type: "snapshots/overlayfs", id: "2" },
      { type: "ingests", id: "r" },
      { type: "snapshots/native", id: "1" },
      { type: "images", id: "i" },
      { type: "content", id: digest },
    ];
    for (const resource of resources) await at.manager.addResource(ctx, "a", resource);
    expect(at.manager.listResources(ctx, "a").map((resource) => resource.type)).toEqual([
      "content",
      "images",
      "ingests",
      "snapshots/native",
      "snapshots/overlayfs",
    ]);
  });
});

describe("LeaseManager.attach", () => {
  const resource = { type: "content", id: digest };

  test("belongs to the room's transaction: it goes with it, and fails it for a lease that is not there", async () => {
    await using at = fixture();
    await at.manager.create(ctx, { id: "a", labels: none });
    const failing = at.metadata.update((tx) => {
      at.manager.attach(tx, "n", "a", resource);
      throw new Error("room failed");
    });
    await failing.catch((error: unknown) => expect((error as Error).message).toBe("room failed"));
    expect(at.manager.listResources(ctx, "a")).toEqual([]);
    const attach = (lease: string | undefined): Promise<void> =>
      at.metadata.update((tx) => at.manager.attach(tx, "n", lease, resource));
    expect(await failureText(() => attach("none"))).toBe("notFound: lease does not exist: not found");
    await attach(undefined);
    await attach("a");
    await attach("a");
    expect(at.manager.listResources(ctx, "a")).toEqual([resource]);
    await at.metadata.update((tx) => at.manager.detach(tx, "n", "a", resource));
    await at.metadata.update((tx) => at.manager.detach(tx, "n", "none", resource));
    expect(at.manager.listResources(ctx, "a")).toEqual([]);
  });
});
