import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Ctx, createCtx } from "../../lib/ctx.ts";
import { digestOf } from "../../lib/digest.ts";
import { fault, messageOf } from "../../lib/faults.ts";
import { createLeaseManager, type LeaseManager, leasesSchema } from "../leases/index.ts";
import { type Metadata, openMetadata } from "../metadata/index.ts";
import { namespacesSchema } from "../namespaces/index.ts";
import { underLease } from "./contexts.ts";

const ctx = createCtx({ namespace: "testing" });
const reference = "registry.example/a:1";
let folder: string;
let metadata: Metadata;
let leases: LeaseManager;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "lighter-transfer-"));
  metadata = openMetadata({ path: join(folder, "meta.db"), schemas: [namespacesSchema, leasesSchema] });
  leases = createLeaseManager({ metadata });
});
afterEach(async () => {
  await metadata[Symbol.asyncDispose]();
  rmSync(folder, { recursive: true, force: true });
});

const count = (): number => leases.list(ctx, []).length;
const fetches = (of: Ctx): Promise<void> =>
  leases.addResource(of, of.lease ?? "", { type: "content", id: digestOf("layer") });

describe("underLease", () => {
  const run = (
    pulls: string | undefined,
    action: (of: Ctx) => Promise<void>,
    active = new Set<string>(),
  ): Promise<string> => underLease(ctx, { leases, active, pulls }, action).then(() => "done", messageOf);
  const cut = async (of: Ctx): Promise<void> => {
    await fetches(of);
    throw fault("unavailable", "the line was cut");
  };

  test("keeps what a pull that was cut has fetched, until the next one of the same is done", async () => {
    expect(await run(reference, cut)).toContain("cut");
    expect(await run(reference, cut)).toContain("cut");
    expect(await run("registry.example/other:1", cut)).toContain("cut");
    expect(count()).toBe(3);
    expect(await run(reference, fetches)).toBe("done");
    expect(leases.list(ctx, []).map(({ labels }) => labels.get("io.lighter.transfer/pull"))).toEqual([
      "registry.example/other:1",
    ]);
  });

  test("keeps nothing of a pull that fetched nothing, or that another try would not mend, nor of any other transfer", async () => {
    await run(reference, () => Promise.reject(fault("unavailable", "nobody there")));
    await run(reference, async (of) => {
      await fetches(of);
      throw fault("dataLoss", "damaged");
    });
    await run(undefined, cut);
    expect(count()).toBe(0);
  });

  test("leaves a pull of the same alone that is under way", async () => {
    const active = new Set<string>();
    const { promise, resolve } = Promise.withResolvers<void>();
    const first = run(reference, () => promise, active);
    expect(await run(reference, fetches, active)).toBe("done");
    expect(count()).toBe(1);
    resolve();
    await first;
    expect(count()).toBe(0);
  });

  test("uses the caller's lease where there is one", async () => {
    let seen: string | undefined;
    await underLease(createCtx({ namespace: "testing", lease: "mine" }), { leases, active: new Set() }, async (of) => {
      seen = of.lease;
    });
    expect([seen, count()]).toEqual(["mine", 0]);
  });
});
