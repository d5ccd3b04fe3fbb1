import { describe, expect, test } from "bun:test";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodeHeader, noXattrs, type TarEntry, zeroTime } from "../lib/tar/index.ts";
import { type CrewLayer, type LayerCrew, openLayerCrew } from "./index.ts";

// Workers chroot, mount and give rights up, all of which is root's; these are counted as skipped elsewhere.
const requiresRoot = test.skipIf(process.getuid?.() !== 0);
const mediaType = "application/vnd.oci.image.layer.v1.tar";
const limits = { maxEntries: 100, maxBytes: 1 << 30 };
/** chown, dac_override, fowner, fsetid, mknod, setfcap. */
const fileRights = "000000008800001b";
/** The same and sys_chroot: what the thread can have count again, between two layers and by a fault of the runtime. */
const permittedRights = "000000008804001b";
const never = new AbortController().signal;

function freshFolder(): Disposable & { readonly path: string } {
  const path = fs.mkdtempSync(join(tmpdir(), "lighter-crew-"));
  return { path, [Symbol.dispose]: () => fs.rmSync(path, { recursive: true }) };
}

function entry(name: string, more: Partial<TarEntry>): TarEntry {
  const owner = { uid: 0, gid: 0, devMajor: 0, devMinor: 0, mtime: zeroTime, xattrs: noXattrs };
  return { name, linkName: "", kind: "file", mode: 0o644, sizeBytes: 0, ...owner, ...more };
}

function archive(...entries: readonly TarEntry[]): Buffer {
  return Buffer.concat([...entries.map((one) => encodeHeader(one)), Buffer.alloc(1024)]);
}

/** A layer for a tree of its own in that folder. */
function layerOf(folder: string, name: string, bytes: Uint8Array, kind: "plain" | "overlay" = "plain"): CrewLayer {
  const source = join(folder, name);
  const blob = join(folder, `${name}.tar`);
  fs.mkdirSync(source);
  fs.writeFileSync(blob, bytes);
  const plain = { type: "bind", source, target: "", options: ["rw", "rbind"] };
  const overlay = { type: "overlay", source: "overlay", target: "", options: [`upperdir=${source}`] };
  const mounts = [kind === "plain" ? plain : overlay];
  return { mounts, archive: blob, mediaType, limits, syncFs: false, signal: never };
}

/** A layer that asks whoever watches what its process is like before it ends. */
function watchedLayer(folder: string, name: string, look: (pid: number) => void): CrewLayer {
  const head = archive(entry("seen", {})).subarray(0, 512);
  const layer = layerOf(folder, name, head);
  async function* lines(): AsyncGenerator<string> {
    yield String(head.length);
    await until(() => fs.existsSync(join(folder, name, "seen")));
    for (const pid of crewPids()) look(pid);
    fs.appendFileSync(join(folder, `${name}.tar`), Buffer.alloc(1024));
    yield String(head.length + 1024);
    yield "whole";
  }
  return { ...layer, lines: lines() };
}

/** The processes of this one's crews. */
function crewPids(parent: number = process.pid): number[] {
  const pids = fs.readdirSync("/proc").filter((name) => /^[0-9]+$/.test(name));
  return pids.map(Number).filter((pid) => {
    const [cmdline, stat] = [textOf(`/proc/${pid}/cmdline`), textOf(`/proc/${pid}/stat`)];
    return cmdline.includes("unpack-layers") && Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]) === parent;
  });
}

function textOf(path: string): string {
  try {
    return fs.readFileSync(path, "utf8");
  } catch {
    // It ended while it was looked at.
    return "";
  }
}

function linkOf(path: string): string {
  try {
    return fs.readlinkSync(path);
  } catch {
    // It was closed while it was looked at.
    return "";
  }
}

function fieldOf(status: string, name: string): string | undefined {
  return new RegExp(`^${name}:\\s*(\\S+)`, "m").exec(status)?.[1];
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 15_000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error("the condition did not come true");
    await Bun.sleep(5);
  }
}

async function failureOf(action: Promise<unknown>): Promise<string> {
  return await action.then(
    () => "none",
    (error: unknown) => String(error),
  );
}

async function pidAfter(crew: LayerCrew, layer: CrewLayer): Promise<number | undefined> {
  await crew.apply(layer);
  const pids = crewPids();
  expect(pids).toHaveLength(1);
  return pids[0];
}

describe("LayerCrew", () => {
  requiresRoot("layers of one kind go through one process, and each through a root of its own", async () => {
    using folder = freshFolder();
    await using crew = openLayerCrew({ idleMs: 60_000 });
    const first = await pidAfter(crew, layerOf(folder.path, "one", archive(entry("mine", {}))));
    const links = [
      entry("abs", { kind: "symlink", linkName: join(folder.path, "one") }),
      entry("up", { kind: "symlink", linkName: "../../../../../../../../.." }),
    ];
    const bytes = archive(...links, entry("abs/evil", {}), entry(`up${folder.path}/one/worse`, {}));
    const second = await pidAfter(crew, layerOf(folder.path, "two", bytes));
    expect(second).toBe(first as number);
    expect(fs.readdirSync(join(folder.path, "one"))).toEqual(["mine"]);
    expect(fs.readdirSync(join(folder.path, "two", folder.path, "one")).toSorted()).toEqual(["evil", "worse"]);
  });

  requiresRoot("tells now and then how much of a layer it has read, where that is asked for", async () => {
    using folder = freshFolder();
    await using crew = openLayerCrew();
    const bytes = archive(entry("a", {}));
    const layer = layerOf(folder.path, "slow", bytes);
    async function* lines(): AsyncGenerator<string> {
      yield "512";
      await until(() => fs.existsSync(join(folder.path, "slow", "a")));
      const seen = performance.now();
      await until(() => performance.now() - seen > 150);
      yield String(bytes.length);
      yield "whole";
    }
    const offsets: number[] = [];
    await crew.apply({ ...layer, lines: lines(), tellsOffset: true, onOffset: (offset) => offsets.push(offset) });
    expect(offsets.at(-1)).toBe(bytes.length);
  });

  requiresRoot(
    "a second layer's process has its layer's rights, one more in store, and no file of others",
    async () => {
      using folder = freshFolder();
      await using crew = openLayerCrew({ idleMs: 60_000 });
      const seen: {
        readonly pid: number;
        readonly rights: unknown[];
        readonly threads: unknown[];
        readonly root: string;
        readonly files: string[];
      }[] = [];
      const look = (pid: number): void => {
        const status = textOf(`/proc/${pid}/status`);
        const root = fs.readlinkSync(`/proc/${pid}/root`);
        // A file of the layer's own may still be open.
        const files = fs
          .readdirSync(`/proc/${pid}/fd`)
          .map((fd) => linkOf(`/proc/${pid}/fd/${fd}`))
          .filter((target) => target.startsWith(folder.path) && !target.startsWith(`${root}/`));
        const rights = ["CapEff", "CapPrm", "CapInh", "NoNewPrivs"].map((name) => fieldOf(status, name));
        const threads = fs.readdirSync(`/proc/${pid}/task`).map((one) => textOf(`/proc/${pid}/task/${one}/status`));
        const most = new Set(threads.filter((text) => text !== "").map((text) => fieldOf(text, "CapPrm")));
        seen.push({ pid, rights, threads: [...most], root, files });
      };
      for (const name of ["one", "two"]) await crew.apply(watchedLayer(folder.path, name, look));
      expect(new Set(seen.map(({ pid }) => pid)).size).toBe(1);
      const about = (name: string): unknown => ({
        rights: [fileRights, permittedRights, "0000000000000000", "1"],
        // The runtime's threads never had more.
        threads: [permittedRights],
        root: join(folder.path, name),
        files: [join(folder.path, `${name}.tar`)],
      });
      expect(seen.map(({ pid: _pid, ...rest }) => rest)).toEqual([about("one"), about("two")] as typeof seen);
    },
  );

  requiresRoot("a process that took a plain tree's rights is not given an overlay's", async () => {
    using folder = freshFolder();
    await using crew = openLayerCrew({ idleMs: 60_000 });
    await crew.apply(layerOf(folder.path, "plain", archive(entry("file", {}))));
    await crew.apply(layerOf(folder.path, "upper", archive(entry("d/.wh..wh..opq", {})), "overlay"));
    expect(crewPids()).toHaveLength(2);
  });

  requiresRoot("a process in which a layer failed is not used again, and says which entry it was", async () => {
    using folder = freshFolder();
    await using crew = openLayerCrew({ idleMs: 60_000 });
    const first = await pidAfter(crew, layerOf(folder.path, "one", archive(entry("mine", {}))));
    expect(await failureOf(crew.apply(layerOf(folder.path, "bad", archive(entry("../out", {})))))).toContain(
      'entry "../out": name leads out of the layer',
    );
    expect(crewPids()).toEqual([]);
    expect(await pidAfter(crew, layerOf(folder.path, "next", archive(entry("mine", {}))))).not.toBe(first as number);
  });

  requiresRoot("a layer that stops arriving ends its process", async () => {
    using folder = freshFolder();
    await using crew = openLayerCrew();
    async function* lines(): AsyncGenerator<string> {
      yield "512";
    }
    const layer = { ...layerOf(folder.path, "cut", archive(entry("mine", {}))), lines: lines() };
    expect(await failureOf(crew.apply(layer))).toContain("the layer stopped arriving");
    expect(crewPids()).toEqual([]);
  });

  requiresRoot("a process ends after its share of layers, and when nothing comes for a while", async () => {
    using folder = freshFolder();
    await using crew = openLayerCrew({ idleMs: 1, maxLayers: 2 });
    await crew.apply(layerOf(folder.path, "one", archive(entry("mine", {}))));
    await until(() => crewPids().length === 0);
    await using busy = openLayerCrew({ idleMs: 60_000, maxLayers: 2 });
    for (const name of ["two", "three"]) await busy.apply(layerOf(folder.path, name, archive(entry("mine", {}))));
    await until(() => crewPids().length === 0);
  });

  requiresRoot("its processes die with the layer's signal and with the crew", async () => {
    using folder = freshFolder();
    const crew = openLayerCrew({ idleMs: 60_000 });
    const stop = new AbortController();
    const { promise: held, resolve: release } = Promise.withResolvers<void>();
    async function* lines(): AsyncGenerator<string> {
      yield "512";
      await held;
    }
    const layer = { ...layerOf(folder.path, "one", archive(entry("mine", {}))), lines: lines(), signal: stop.signal };
    const applying = failureOf(crew.apply(layer));
    await until(() => fs.existsSync(join(folder.path, "one", "mine")));
    stop.abort(new Error("enough"));
    expect(await applying).toContain("enough");
    expect(crewPids()).toEqual([]);
    await crew.apply(layerOf(folder.path, "two", archive(entry("mine", {}))));
    expect(crewPids()).toHaveLength(1);
    await crew[Symbol.asyncDispose]();
    expect(crewPids()).toEqual([]);
    release();
  });

  requiresRoot("a process that died while it waited is not given another layer", async () => {
    using folder = freshFolder();
    await using crew = openLayerCrew({ idleMs: 60_000 });
    const first = await pidAfter(crew, layerOf(folder.path, "one", archive(entry("mine", {}))));
    process.kill(first as number, "SIGKILL");
    // It is reaped, which is when the crew learns of it.
    await until(() => !fs.existsSync(`/proc/${first}`));
    const second = await pidAfter(crew, layerOf(folder.path, "two", archive(entry("mine", {}))));
    expect(second).not.toBe(first as number);
    expect(fs.readdirSync(join(folder.path, "two"))).toEqual(["mine"]);
  });

  requiresRoot("its processes leave no descriptor open", async () => {
    using folder = freshFolder();
    const useOne = async (name: string): Promise<void> => {
      await using crew = openLayerCrew({ idleMs: 60_000 });
      await crew.apply(layerOf(folder.path, name, archive(entry("mine", {}))));
    };
    await useOne("first");
    Bun.gc(true);
    const before = fs.readdirSync("/proc/self/fd").length;
    for (let n = 0; n < 5; n++) await useOne(`next${n}`);
    await until(() => {
      Bun.gc(true);
      return fs.readdirSync("/proc/self/fd").length <= before;
    });
  });

  requiresRoot("its processes die with the process that started them", async () => {
    using folder = freshFolder();
    const { signal: _signal, ...layer } = layerOf(folder.path, "one", archive(entry("mine", {})));
    const script = join(folder.path, "parent.ts");
    const door = JSON.stringify(join(import.meta.dir, "index.ts"));
    fs.writeFileSync(
      script,
      `import { openLayerCrew } from ${door};
const crew = openLayerCrew({ idleMs: 60_000 });
await crew.apply({ ...${JSON.stringify(layer)}, signal: new AbortController().signal });
console.log("applied");
`,
    );
    const parent = Bun.spawn([process.execPath, script], { stdio: ["ignore", "pipe", "ignore"] });
    const output = parent.stdout.getReader();
    expect(new TextDecoder().decode((await output.read()).value)).toContain("applied");
    const [worker = 0] = crewPids(parent.pid);
    expect(worker).toBeGreaterThan(0);
    parent.kill("SIGKILL");
    await parent.exited;
    await until(() => !textOf(`/proc/${worker}/cmdline`).includes("unpack-layers"));
  });
});
