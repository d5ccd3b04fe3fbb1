import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { systemClock } from "../../lib/clock.ts";
import { createCtx } from "../../lib/ctx.ts";
import { failureOf } from "../content/testing.ts";
import type { MountSpec } from "../mounts/index.ts";
import type { Snapshotter } from "./snapshotter.ts";

/** A snapshotter under test, empty, and a way to look into what it mounts. */
export interface SnapshotterFixture extends AsyncDisposable {
  readonly snapshotter: Snapshotter;
  /** Runs with the mounts in place. */
  mounted(mounts: readonly MountSpec[], action: (root: string) => void): void;
  /** Waits for removals that nobody waits for. */
  settle(): Promise<void>;
  /** The folders on disk, by number. */
  folders(): readonly string[];
}

/** How the tests write and read files; a parameter so that they stand in one place. */
export interface SuiteFiles {
  write(path: string, text: string): void;
  read(path: string): string | undefined;
  remove(path: string): void;
}

const ctx = createCtx({ namespace: "testing" });
const other = createCtx({ namespace: "other" });

/** What every snapshotter must do, for whoever implements one. */
export function snapshotterSuite(name: string, files: SuiteFiles, open: () => Promise<SnapshotterFixture>): void {
  describe(`${name}: Snapshotter`, () => {
    let fixture: SnapshotterFixture;
    let sn: Snapshotter;
    beforeEach(async () => {
      fixture = await open();
      sn = fixture.snapshotter;
    });
    afterEach(() => fixture[Symbol.asyncDispose]());

    /** A committed layer with one file of its own. */
    const layer = async (layerName: string, parent: string, file: string): Promise<void> => {
      const mounts = await sn.prepare(ctx, `${layerName}-key`, parent);
      fixture.mounted(mounts, (root) => files.write(`${root}/${file}`, layerName));
      await sn.commit(ctx, layerName, `${layerName}-key`);
    };

    test("stacks layers: each sees those below, and changes none of them", async () => {
      await layer("one", "", "a");
      await layer("two", "one", "b");
      await layer("three", "two", "a");
      const mounts = await sn.prepare(ctx, "active", "three");
      fixture.mounted(mounts, (root) => {
        expect([files.read(`${root}/a`), files.read(`${root}/b`)]).toEqual(["three", "two"]);
        files.remove(`${root}/b`);
      });
      fixture.mounted(await sn.view(ctx, "v1", "one"), (root) => expect(files.read(`${root}/a`)).toBe("one"));
      fixture.mounted(await sn.view(ctx, "v2", "two"), (root) => expect(files.read(`${root}/b`)).toBe("two"));
      fixture.mounted(await sn.mounts(ctx, "active"), (root) => expect(files.read(`${root}/b`)).toBeUndefined());
      expect(sn.stat(ctx, "three").parent).toBe("two");
      expect(sn.list(ctx, []).map((info) => `${info.name} ${info.kind}`)).toEqual([
        "active active",
        "one committed",
        "three committed",
        "two committed",
        "v1 view",
        "v2 view",
      ]);
    });

    test("tells times that lie between a caller's own, to the nanosecond", async () => {
      const times = [systemClock()];
      const tell = (name: string): void => {
        const { createdAt, updatedAt } = sn.stat(ctx, name);
        times.push(createdAt, updatedAt, systemClock());
      };
      await sn.prepare(ctx, "key", "");
      tell("key");
      await sn.commit(ctx, "layer", "key");
      tell("layer");
      const made = sn.stat(ctx, "layer");
      await sn.update(ctx, { ...made, labels: new Map([["a", "b"]]) }, []);
      const { createdAt, updatedAt } = sn.stat(ctx, "layer");
      times.push(updatedAt, systemClock());
      expect(createdAt).toEqual(made.createdAt);
      expect(times.filter((time, at) => time.isBefore(times[at - 1] ?? time))).toEqual([]);
    });

    test("a view cannot be written", async () => {
      await layer("one", "", "a");
      for (const mounts of [await sn.view(ctx, "v", "one"), await sn.view(ctx, "empty", "")]) {
        fixture.mounted(mounts, (root) => expect(() => files.write(`${root}/x`, "x")).toThrow(/EROFS/));
      }
    });

    test("answers for names that are taken, missing or of the wrong kind as containerd does", async () => {
      await layer("one", "", "a");
      await sn.prepare(ctx, "active", "one");
      await sn.view(ctx, "view", "one");
      const check = async (action: () => unknown, kind: string, message: string): Promise<void> => {
        expect(await failureOf(action)).toEqual({ kind: kind as never, message: expect.stringContaining(message) });
      };
      await check(() => sn.prepare(ctx, "active", ""), "alreadyExists", 'snapshot "active": already exists');
      await check(() => sn.prepare(ctx, "one", ""), "alreadyExists", 'snapshot "one": already exists');
      await check(() => sn.prepare(ctx, "x", "none"), "notFound", "parent snapshot none does not exist: not found");
      await check(
        () => sn.prepare(ctx, "x", "active"),
        "invalidArgument",
        "is not committed snapshot: invalid argument",
      );
      await check(() => sn.commit(ctx, "one", "active"), "alreadyExists", 'snapshot "one": already exists');
      await check(() => sn.commit(ctx, "x", "none"), "notFound", "snapshot none does not exist: not found");
      await check(() => sn.commit(ctx, "x", "view"), "failedPrecondition", "is not active: failed precondition");
      await check(() => sn.mounts(ctx, "one"), "failedPrecondition", "not active or view: failed precondition");
      await check(
        () => sn.remove(ctx, "one"),
        "failedPrecondition",
        "cannot remove snapshot with child: failed precondition",
      );
      for (const action of [
        () => sn.stat(ctx, "none"),
        () => sn.remove(ctx, "none"),
        () => sn.usage(ctx, "none"),
        () => sn.mounts(ctx, "none"),
        () => sn.update(ctx, { name: "none", labels: new Map() }, []),
        () => sn.stat(other, "one"),
      ]) {
        await check(action, "notFound", "does not exist: not found");
      }
      await check(() => sn.list(createCtx(), []), "failedPrecondition", "namespace is required");
    });

    test("removes snapshots and their folders", async () => {
      await layer("one", "", "a");
      await sn.prepare(ctx, "active", "one");
      await sn.remove(ctx, "active");
      await sn.remove(ctx, "one");
      await fixture.settle();
      expect(sn.list(ctx, [])).toEqual([]);
      expect(fixture.folders()).toEqual([]);
    });

    test("keeps labels, changes them by mask, and gives a committed snapshot its own", async () => {
      await sn.prepare(ctx, "k", "", {
        labels: new Map([
          ["a", "1"],
          ["b", "2"],
        ]),
      });
      await sn.update(ctx, { name: "k", labels: new Map([["a", "3"]]) }, ["labels.a", "labels.b"]);
      expect([...sn.stat(ctx, "k").labels]).toEqual([["a", "3"]]);
      const failure = await failureOf(() => sn.update(ctx, { name: "k", labels: new Map() }, ["parent"]));
      expect(failure.message).toBe('cannot update "parent" field on snapshot "k": invalid argument');
      await sn.commit(ctx, "n", "k", { labels: new Map([["c", "4"]]) });
      expect([...sn.stat(ctx, "n").labels]).toEqual([["c", "4"]]);
      expect(sn.list(ctx, ["labels.c==4"])).toHaveLength(1);
      expect(sn.list(ctx, ["kind==active"])).toHaveLength(0);
    });

    test("counts what a snapshot takes", async () => {
      const mounts = await sn.prepare(ctx, "k", "");
      fixture.mounted(mounts, (root) => files.write(`${root}/large`, "x".repeat(1 << 20)));
      const active = await sn.usage(ctx, "k");
      expect(active.inodes).toBe(2);
      expect(active.sizeBytes).toBeGreaterThanOrEqual(1 << 20);
      await sn.commit(ctx, "n", "k");
      expect(await sn.usage(ctx, "n")).toEqual(active);
    });

    test("keeps namespaces apart", async () => {
      await sn.prepare(ctx, "same", "");
      await sn.prepare(other, "same", "");
      await sn.remove(ctx, "same");
      expect(sn.stat(other, "same").kind).toBe("active");
    });

    test("answers alreadyExists for a target that is there", async () => {
      await layer("one", "", "a");
      const labels = new Map([["containerd.io/snapshot.ref", "one"]]);
      const failure = await failureOf(() => sn.prepare(ctx, "k", "", { labels }));
      expect(failure).toEqual({ kind: "alreadyExists", message: 'target snapshot "one": already exists' });
    });

    test("takes many at once", async () => {
      await layer("base", "", "a");
      const keys = Array.from({ length: 12 }, (_, index) => `k${index}`);
      await Promise.all(keys.map((key) => sn.prepare(ctx, key, "base")));
      expect(sn.list(ctx, ["kind==active"])).toHaveLength(12);
      await Promise.all(keys.map((key) => sn.remove(ctx, key)));
      await sn.cleanup(ctx);
      expect(fixture.folders()).toHaveLength(1);
    }, 30_000);
  });
}
