import { describe, expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { type Sandbox, SandboxSchema } from "../../gen/containerd/types/sandbox_pb.ts";
import { createCtx } from "../../lib/ctx.ts";
import { failureText } from "../../lib/fault-testing.ts";
import { Instant } from "../../lib/instant.ts";
import { anyOfJson, ociTypeUrls } from "../../wire/any.ts";
import type { Metadata } from "../metadata/index.ts";
import { openTestMetadata } from "../metadata/testing.ts";
import { namespacesSchema } from "../namespaces/index.ts";
import { collectableSandboxes, createSandboxStore, type SandboxStore, sandboxesSchema } from "./index.ts";

const ctx = createCtx({ namespace: "n" });
const spec = anyOfJson(ociTypeUrls.spec, { ociVersion: "1.2.0" });
const other = anyOfJson(ociTypeUrls.spec, { ociVersion: "9" });
const runtime = { name: "io.containerd.runc.v2" };

interface Fixture extends AsyncDisposable {
  readonly store: SandboxStore;
  readonly metadata: Metadata;
  setTime(ms: number): void;
}

function fixture(): Fixture {
  const opened = openTestMetadata([namespacesSchema, sandboxesSchema]);
  let ms = 1_000_000;
  return {
    store: createSandboxStore({ metadata: opened.metadata, clock: () => Instant.ofMs(ms) }),
    metadata: opened.metadata,
    setTime: (to) => {
      ms = to;
    },
    [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
  };
}

const box = (sandboxId: string, more: object = {}): Sandbox => create(SandboxSchema, { sandboxId, runtime, ...more });

describe("SandboxStore", () => {
  test("gives back what it was given, with times of its own and without empty labels", async () => {
    await using at = fixture();
    const given = { spec, sandboxer: "shim", labels: { __proto__x: "1", gone: "" }, extensions: { e: other } };
    const made = await at.store.create(ctx, box("a", given));
    expect(made).toMatchObject({ spec, sandboxer: "shim", labels: { __proto__x: "1" }, extensions: { e: other } });
    expect([timestampMs(made.createdAt!), timestampMs(made.updatedAt!)]).toEqual([1_000_000, 1_000_000]);
    expect(at.store.get(ctx, "a")).toEqual(made);
    expect((await at.store.create(ctx, create(SandboxSchema, { sandboxId: "bare" }))).runtime?.name).toBe("");
  });

  test("updates what the mask names", async () => {
    await using at = fixture();
    await at.store.create(ctx, box("a", { spec, labels: { l: "1", m: "2" }, extensions: { e: spec } }));
    at.setTime(2_000_000);
    const wanted = box("a", {
      spec: other,
      labels: { l: "9", m: "" },
      extensions: { f: other },
      runtime: { name: "x" },
    });
    const paths = ["labels.l", "labels.m", "extensions.f", "extensions.e"];
    const updated = await at.store.update(ctx, wanted, paths);
    expect(updated).toMatchObject({ spec, labels: { l: "9" }, extensions: { f: other }, runtime });
    expect(Object.keys({ ...updated.labels, ...updated.extensions })).toEqual(["l", "f"]);
    expect([timestampMs(updated.createdAt!), timestampMs(updated.updatedAt!)]).toEqual([1_000_000, 2_000_000]);
    expect((await at.store.update(ctx, wanted, ["runtime", "spec"])).runtime?.name).toBe("x");
    expect(at.store.get(ctx, "a").spec).toEqual(other);
    const replaced = await at.store.update(ctx, box("a", { runtime: { name: "x" } }), []);
    expect([replaced.labels, replaced.extensions, replaced.spec]).toEqual([{}, {}, undefined]);
  });

  test("lists by filters, in its namespace", async () => {
    await using at = fixture();
    await at.store.create(ctx, box("b", { labels: { "x.y": "1" } }));
    await at.store.create(ctx, box("a"));
    await at.store.create(createCtx({ namespace: "m" }), box("a"));
    const ids = (...filters: string[]) => at.store.list(ctx, filters).map((sandbox) => sandbox.sandboxId);
    expect([ids(), ids("id==a"), ids("labels.x.y==1"), ids("id==c", "id==b"), ids("runtime==x")]).toEqual([
      ["a", "b"],
      ["a"],
      ["b"],
      ["b"],
      [],
    ]);
  });

  test("refuses with containerd's words", async () => {
    await using at = fixture();
    const { store } = at;
    const bare = createCtx();
    const noBuckets = "notFound: no sandbox buckets: not found";
    expect(await failureText(() => store.get(ctx, "a"))).toBe(noBuckets);
    expect(await failureText(() => store.update(ctx, box("a"), []))).toBe(noBuckets);
    expect(await failureText(() => store.delete(ctx, "a"))).toBe(noBuckets);
    await store.create(ctx, box("a"));
    const texts = [
      () => store.get(ctx, "b"),
      () => store.delete(ctx, "b"),
      () => store.create(ctx, box("a")),
      () => store.create(ctx, box("")),
      () => store.create(ctx, box("a/b")),
      () => store.update(ctx, box("a", { runtime: { name: "x" } }), []),
      () => store.update(ctx, box("a"), ["id"]),
      () => store.list(ctx, ["id=="]),
      () => store.get(bare, "a"),
    ].map(failureText);
    expect(await Promise.all(texts)).toEqual([
      'notFound: bucket "b" not found: not found',
      'notFound: failed to delete sandbox "b": not found',
      'alreadyExists: write error: sandbox bucket "a" already exists: already exists',
      "invalidArgument: failed to validate sandbox: invalid sandbox ID: identifier must not be empty: invalid argument",
      'invalidArgument: failed to validate sandbox: invalid sandbox ID: identifier "a/b" must match ^[A-Za-z0-9]+(?:[._-](?:[A-Za-z0-9]+))*$: invalid argument',
      "invalidArgument: sandbox.Runtime.Name field is immutable: invalid argument",
      'invalidArgument: cannot update "id" field on sandbox "a": invalid argument',
      "invalidArgument: filters: parse error: [id==]: expected value or quoted: invalid argument: invalid argument",
      "failedPrecondition: namespace is required: failed precondition",
    ]);
    await store.delete(ctx, "a");
    expect(store.list(ctx, [])).toEqual([]);
  });

  test("shows garbage collection what its labels refer to", async () => {
    await using at = fixture();
    const labels = { "containerd.io/gc.ref.content.1": "sha256:x", plain: "y" };
    await at.store.create(ctx, box("a", { labels }));
    await at.store.create(ctx, box("b", { labels: { plain: "y" } }));
    const seen = at.metadata.read((db) => collectableSandboxes.page(db, undefined, 10));
    expect(seen.map(({ key, labels: kept, root }) => [key, kept, root])).toEqual([
      ["a", [["containerd.io/gc.ref.content.1", "sha256:x"]], true],
      ["b", [], true],
    ]);
    expect(at.metadata.read((db) => collectableSandboxes.find(db, "n", "c"))).toBeUndefined();
  });
});
