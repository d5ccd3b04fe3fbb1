import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ContentStore } from "../../../src/core/content/index.ts";
import { createDiffer, type Differ } from "../../../src/core/diff/index.ts";
import type { MountSpec } from "../../../src/core/mounts/index.ts";
import { type Ctx, createCtx } from "../../../src/lib/ctx.ts";
import type { Digest } from "../../../src/lib/digest.ts";
import { digestOf } from "../../../src/lib/digest.ts";
import { FaultError, messageOf } from "../../../src/lib/faults.ts";
import { openTestContent } from "../../support/registry-content.ts";
import { type HostileArchive, hostileArchive } from "./mutate.ts";
import { Random } from "./random.ts";

export interface FuzzOptions {
  readonly seed: number;
  readonly count: number;
  readonly inFlight: number;
  readonly report?: ((text: string) => void) | undefined;
}

export interface FuzzResult {
  /** How many were taken though they were changed, and how many refused. */
  readonly taken: number;
  readonly refused: number;
  /** What must not be, with the seed of the archive that did it. */
  readonly troubles: readonly string[];
}

const ctx = createCtx({ namespace: "fuzz" });
/** Small, so that a size that lies ends early. */
const limits = { maxEntries: 2000, maxBytes: 4 << 20 };
/** What a refusal looks like: it names the layer and, from the first one on, the entry. */
const refusal = /^apply layer (sha256:[0-9a-f]{64}): (?:(?:after )?entry ".*": |at the beginning: )/s;

/** Applies archives that were made to do harm to trees inside of a folder that is watched. */
export async function fuzzLayers(options: FuzzOptions): Promise<FuzzResult> {
  await using bed = await openBed();
  const troubles: string[] = [];
  let [taken, refused, next] = [0, 0, 0];
  const one = async (seed: number): Promise<void> => {
    const archive = hostileArchive(new Random(seed));
    const tell = (what: string): void => void troubles.push(`seed ${seed} (${archive.how}): ${what}`);
    const before = bed.guarded();
    const problem = await bed.apply(archive, seed);
    if (problem === undefined) taken++;
    else {
      refused++;
      const found = refusal.exec(problem.message);
      if (found?.[1] !== digestOf(archive.bytes)) tell(`the refusal names no layer or entry: ${problem.message}`);
      if (problem.kind === "unknown" && /worker unpack ended/.test(problem.message)) tell(problem.message);
    }
    if (bed.guarded() !== before) tell("something outside of the target was touched");
  };
  const worker = async (): Promise<void> => {
    while (next < options.count && troubles.length < 20) {
      const index = next++;
      await one(options.seed + index);
      if ((index + 1) % 500 === 0) options.report?.(`${index + 1} archives: ${taken} taken, ${refused} refused`);
    }
  };
  await Promise.all(Array.from({ length: options.inFlight }, worker));
  return { taken, refused, troubles };
}

interface Bed extends AsyncDisposable {
  /** All that an archive must not touch, as one text. */
  guarded(): string;
  /** Applies an archive to a tree of its own; answers what was said against it. */
  apply(archive: HostileArchive, seed: number): Promise<FaultError | undefined>;
}

async function openBed(): Promise<Bed> {
  await using made = new AsyncDisposableStack();
  const folder = fs.mkdtempSync(join(tmpdir(), "lighter-fuzz-"));
  made.defer(() => fs.rmSync(folder, { recursive: true, force: true }));
  const { store: content } = made.use(await openTestContent(join(folder, "content")));
  const guard = join(folder, "guard");
  for (const name of ["", "etc", "trees", "lower", "lower/etc", "work"])
    fs.mkdirSync(join(guard, name), { recursive: true });
  for (const name of ["canary", "etc/canary", "trees/canary", "lower/canary", "lower/etc/gone"]) {
    fs.writeFileSync(join(guard, name), "sings");
  }
  const differ = createDiffer({ content, root: join(folder, "mounts"), limits, maxWorkers: 4 });
  const owned = made.move();
  return {
    guarded: () => watched(guard),
    apply: (archive, seed) => applyTo(differ, content, join(guard, "trees"), join(guard, "lower"), archive, seed),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function applyTo(
  differ: Differ,
  content: ContentStore,
  trees: string,
  lower: string,
  archive: HostileArchive,
  seed: number,
): Promise<FaultError | undefined> {
  const digest = await put(ctx, content, archive.bytes, seed);
  const target = join(trees, `tree-${seed}`);
  fs.mkdirSync(target);
  // A plain folder and an overlay's upper one in turn: the second marks what it hides.
  const mounts: MountSpec[] =
    seed % 2 === 0
      ? [{ type: "bind", source: target, target: "", options: ["rw", "rbind"] }]
      : [{ type: "overlay", source: "overlay", target: "", options: [`upperdir=${target}`, `lowerdir=${lower}`] }];
  try {
    await differ.apply(ctx, { mediaType: archive.mediaType, digest, sizeBytes: archive.bytes.length }, mounts);
    return undefined;
  } catch (error) {
    return error instanceof FaultError ? error : new FaultError("unknown", `no fault: ${messageOf(error)}`);
  } finally {
    fs.rmSync(target, { recursive: true, force: true });
    await content.delete(ctx, digest);
  }
}

async function put(of: Ctx, content: ContentStore, bytes: Uint8Array, seed: number): Promise<Digest> {
  await using writer = await content.writer(of, { ref: `fuzz-${seed}` });
  await writer.write(bytes);
  return await writer.commit(of, {});
}

/** Every file of the guarded folder with what would show a touch, the trees that come and go left out. */
function watched(guard: string): string {
  const lines: string[] = [];
  const visit = (path: string): void => {
    const stats = fs.lstatSync(path);
    const isTrees = path.endsWith("/trees");
    const times = isTrees ? "" : `${stats.mtimeMs} ${stats.ctimeMs}`;
    lines.push(
      `${path} ${stats.mode} ${stats.uid} ${stats.gid} ${times} ${stats.isFile() ? fs.readFileSync(path, "utf8") : ""}`,
    );
    if (!stats.isDirectory()) return;
    for (const name of fs.readdirSync(path)) if (!isTrees || !name.startsWith("tree-")) visit(join(path, name));
  };
  visit(guard);
  return lines.join("\n");
}
