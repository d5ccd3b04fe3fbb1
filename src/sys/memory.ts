import { closeSync, openSync, readFileSync, readlinkSync, readSync } from "node:fs";
import { check, lazyLibrary } from "./libc.ts";

const libc = lazyLibrary({ madvise: { args: ["u64", "u64", "i32"], returns: "i32" } });

/** Source: madvise(2). */
const dontNeed = 4;

/**
 * Unmaps the pages of the program's code and constants that start-up touched and an idle process does not. They stay in
 * the page cache, shared with every other process of the program, and come back by a minor fault when they are needed.
 * SAFETY: only mappings of the executable that can't be written and hold no page of our own, so that each page equals the
 * file (the linker's relocations are read-only too, and are such pages), and our scripts, which nothing writes to; addresses
 * come from the kernel's own table.
 * JUSTIFICATION: no call for it in the runtime. Effects: some milliseconds; then some hundred minor faults.
 * Source: madvise(2), MADV_DONTNEED; proc(5), smaps.
 */
function dropIdlePages(): void {
  const smaps = readFileSync("/proc/self/smaps", "utf8");
  const file = readlinkSync("/proc/self/exe");
  const payload = unchangedPayload(smaps, file);
  for (const [start, end] of [...unchangedMappings(smaps, file), ...(payload === undefined ? [] : [payload])]) {
    check("madvise", () => libc().madvise(start, end - start, dontNeed));
  }
}

const pageBytes = 4096n;

/**
 * Where our own scripts and their bytecode lie in an executable that was built: the whole pages of its section `.bun`. It is
 * mapped to be written to, beside the runtime's variables, which nothing ever does; undefined where a page of it has been
 * written to after all, or there is none.
 * Source: proc(5), /proc/PID/pagemap: of each page 64 bits, of which 63 says that it is there, 62 that it is swapped out, 61
 * that it is the file's.
 */
function unchangedPayload(smaps: string, file: string): Mapping | undefined {
  // Other machines' kernels have pages of several sizes.
  if (process.arch !== "x64") return undefined;
  using exe = openFile("/proc/self/exe");
  const section = elfSection(exe.read, ".bun");
  const place = section === undefined ? undefined : placeOf(smaps, file, section);
  if (place === undefined) return undefined;
  const [start, end] = [((place[0] + pageBytes - 1n) / pageBytes) * pageBytes, (place[1] / pageBytes) * pageBytes];
  if (end <= start) return undefined;
  using pagemap = openFile("/proc/self/pagemap");
  const bytes = pagemap.read(Number((start / pageBytes) * 8n), Number(((end - start) / pageBytes) * 8n));
  const states = new BigUint64Array(bytes.buffer);
  return states.every((state) => state >> 61n === 0n || state >> 61n === 0b101n) ? [start, end] : undefined;
}

type Mapping = [start: bigint, end: bigint];
type ReadAt = (at: number, count: number) => Uint8Array<ArrayBuffer>;

function openFile(path: string): Disposable & { readonly read: ReadAt } {
  const fd = openSync(path, "r");
  const read: ReadAt = (at, count) => {
    const bytes = new Uint8Array(count);
    return readSync(fd, bytes, 0, count, at) === count ? bytes : new Uint8Array(count).fill(0xff);
  };
  return { read, [Symbol.dispose]: () => closeSync(fd) };
}

/** Where a section is in an ELF file of 64 bits, in the machine's order. Source: elf(5), Elf64_Ehdr and Elf64_Shdr. */
export function elfSection(read: ReadAt, name: string): { readonly at: bigint; readonly size: bigint } | undefined {
  const head = viewOf(read(0, 64));
  if (head.getUint32(0) !== 0x7f454c46) return undefined;
  const [table, entryBytes, count, names] = [
    Number(head.getBigUint64(40, true)),
    head.getUint16(58, true),
    head.getUint16(60, true),
    head.getUint16(62, true),
  ];
  const headers = viewOf(read(table, entryBytes * count));
  const extent = (index: number): { at: bigint; size: bigint } => ({
    at: headers.getBigUint64(index * entryBytes + 24, true),
    size: headers.getBigUint64(index * entryBytes + 32, true),
  });
  const { at, size } = extent(names);
  const text = Buffer.from(read(Number(at), Number(size))).toString("latin1");
  for (let index = 0; index < count; index++) {
    if (text.startsWith(`${name}\0`, headers.getUint32(index * entryBytes, true))) return extent(index);
  }
  return undefined;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}

/** Where a part of a file is mapped as a whole. */
function placeOf(smaps: string, file: string, { at, size }: { at: bigint; size: bigint }): Mapping | undefined {
  for (const line of smaps.split("\n")) {
    const [, from, to, offset, name] = /^([0-9a-f]+)-([0-9a-f]+) \S+ ([0-9a-f]+) \S+ \d+ *(.*)$/.exec(line) ?? [];
    if (name !== file) continue;
    const [start, end] = [BigInt(`0x${from}`), BigInt(`0x${to}`)];
    const here = start + at - BigInt(`0x${offset}`);
    if (here >= start && here + size <= end) return [here, here + size];
  }
  return undefined;
}

/** The mappings of a file that equal it: read-only, private, and without a page that was ever written. */
export function unchangedMappings(smaps: string, file: string): Mapping[] {
  const found: Mapping[] = [];
  let last: [bigint, bigint] | undefined;
  for (const line of smaps.split("\n")) {
    const head = /^([0-9a-f]+)-([0-9a-f]+) (\S+) [0-9a-f]+ \S+ \d+ *(.*)$/.exec(line);
    if (head !== null) {
      const [, start, end, access = "", name] = head;
      last = /^r-[x-]p$/.test(access) && name === file ? [BigInt(`0x${start}`), BigInt(`0x${end}`)] : undefined;
    } else if (last !== undefined && /^Anonymous: +0 kB$/.test(line)) {
      found.push(last);
    }
  }
  return found;
}

const checkEveryMs = 1000;
/** Processor time in one interval below which a process is at rest; the runtime itself takes a few milliseconds of it. */
const restMicroseconds = 30_000;
/** What must have come back since the last time, for a drop to be worth its faults. */
const worthBytes = 8 * 1024 * 1024;
/** The same in a long rest, where idle pages go without a collection: the runtime's own, minutes apart, bring its code back. */
const worthAtRestBytes = 2 * 1024 * 1024;
/** Intervals of rest after which compiled code goes too: the call that ends such a rest takes some milliseconds longer. */
const longRest = 8;
/** Intervals that the runtime's own work of shrinking may take; it is not taken for the process's. */
const shrinkTicks = 3;

/**
 * Watches the process, and gives memory back whenever it comes to rest after work: garbage and idle pages at once,
 * compiled code and caches when the rest is long. The watch keeps no process alive.
 */
export function shrinkWhenIdle(): Disposable {
  let used = Number.NEGATIVE_INFINITY;
  let rested = 0;
  let residentAfter = 0;
  const timer = setInterval(() => {
    const { user, system } = process.cpuUsage();
    const resting = user + system - used < restMicroseconds;
    used = user + system;
    const shrinking = rested >= longRest && rested < longRest + shrinkTicks;
    rested = resting || shrinking ? rested + 1 : 0;
    if (rested === longRest) Bun.shrink(); // which the runtime does at its own time, touching much of its own code
    const shrunk = rested === longRest + shrinkTicks;
    if (rested === 0) return;
    const grown = process.memoryUsage.rss() - residentAfter;
    const isLong = rested > longRest + shrinkTicks;
    if (!shrunk && grown < (isLong ? worthAtRestBytes : worthBytes)) return;
    // At rest nobody waits for the loop, which a full collection holds for some milliseconds.
    if (shrunk || grown >= worthBytes) Bun.gc(true);
    dropIdlePages();
    residentAfter = process.memoryUsage.rss();
  }, checkEveryMs);
  timer.unref();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}
