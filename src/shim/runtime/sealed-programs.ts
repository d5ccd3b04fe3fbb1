import { existsSync, statSync, write } from "node:fs";
import { open } from "node:fs/promises";
import { basename } from "node:path";
import { promisify } from "node:util";
import type { Clock } from "../../lib/clock.ts";
import { messageOf } from "../../lib/faults.ts";
import type { Logger } from "../../lib/log.ts";
import { fileVersion, programPath } from "../../lib/program-version.ts";
import { closeQuietly, type Fd, type Kernel } from "../../sys/index.ts";
import type { RuntimeKinds } from "./runtime-kind.ts";

/** Runtimes in memory at once: clients name them, and each takes its size. */
const programsMax = 4;
const sizeMaxBytes = 32n << 20n;
/** What was changed so short ago may be in the middle of it, with the same times before and after. */
const settledMs = 1000;
/** ELF's first bytes: a script's interpreter could not open what is closed when it runs. Source: elf(5). */
const magic = "\x7fELF";
/** Set-user-ID and set-group-ID, which a copy does not have. */
const idBits = 0o6000n;

export interface SealedProgramsOptions {
  readonly kernel: Kernel;
  readonly kinds: Pick<RuntimeKinds, "of">;
  readonly log: Logger;
  readonly now: Clock;
}

/**
 * Runtimes' programs as sealed files in memory.
 * Shape: crun makes a safe copy of itself at each of its starts, and runs that, so that no container can write to it through
 * /proc/self/exe, unless it is run from a sealed file in memory already; which is the same copy, made once. A program is
 * looked at at each use: what was replaced is read again, and run from its own path meanwhile, as is whatever can't be copied.
 * Source: crun src/libcrun/cloned_binary.c, is_self_cloned; CVE-2019-5736. See docs/adr/0013-sealed-runtimes.md.
 */
export class SealedPrograms implements Disposable {
  readonly #options: SealedProgramsOptions;
  /** By path; without a descriptor where a program is not fit for it. */
  readonly #known = new Map<string, { readonly version: string; readonly fd: Fd | undefined }>();
  readonly #reading = new Set<string>();
  readonly #isAllowed: boolean;
  #isClosed = false;

  constructor(options: SealedProgramsOptions) {
    this.#options = options;
    // Under SELinux the file's label says what its program may do.
    this.#isAllowed = !existsSync("/sys/fs/selinux/enforce");
  }

  /**
   * Where to run a runtime from, to be used at once; undefined for its own path.
   * Effects: begins to read what it has not, or not in this version.
   */
  find(binary: string): string | undefined {
    if (!this.#isAllowed || this.#isClosed) return undefined;
    const path = programPath(binary);
    if (path === undefined) return undefined;
    const version = fileVersion(statSync(path, { bigint: true, throwIfNoEntry: false }));
    const known = this.#known.get(path);
    if (known !== undefined && known.version === version)
      return known.fd === undefined ? undefined : `/proc/self/fd/${known.fd}`;
    this.#forget(path);
    if (version !== undefined) void this.#read(binary, path, version);
    return undefined;
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    for (const path of this.#known.keys()) this.#forget(path);
  }

  /** No command holds it any more: what runs has its program open itself. */
  #forget(path: string): void {
    const fd = this.#known.get(path)?.fd;
    this.#known.delete(path);
    if (fd !== undefined) closeQuietly(this.#options.kernel, fd);
  }

  async #read(binary: string, path: string, version: string): Promise<void> {
    if (this.#reading.has(path) || this.#known.size + this.#reading.size >= programsMax) return;
    this.#reading.add(path);
    const { kinds, log } = this.#options;
    try {
      if ((await kinds.of(binary)) !== "crun") return;
      const fd = await this.#copy(path, version);
      if (fd === "changing") return;
      if (fd !== undefined && this.#isClosed) closeQuietly(this.#options.kernel, fd);
      else this.#known.set(path, { version, fd });
    } catch (error) {
      log.warn("a runtime can't be run from memory, which is faster", { binary: path, error: messageOf(error) });
      this.#known.set(path, { version, fd: undefined });
    } finally {
      this.#reading.delete(path);
    }
  }

  /** A sealed copy; undefined of what is not to be copied, "changing" of what is not the version that was asked for. */
  async #copy(path: string, version: string): Promise<Fd | undefined | "changing"> {
    await using file = await open(path);
    const before = await file.stat({ bigint: true });
    const ageMs = this.#options.now().ms - Number(before.ctimeMs);
    if (fileVersion(before) !== version || ageMs < settledMs) return "changing";
    if ((before.mode & idBits) !== 0n || before.size > sizeMaxBytes) return undefined;
    const content = await file.readFile();
    if (content.subarray(0, magic.length).toString("latin1") !== magic) return undefined;
    if (fileVersion(await file.stat({ bigint: true })) !== version) return "changing";
    return await this.#seal(basename(path), content);
  }

  async #seal(name: string, content: Buffer): Promise<Fd> {
    const { kernel } = this.#options;
    const fd = kernel.memoryFile(name);
    try {
      for (let at = 0; at < content.length; ) at += (await writeSome(fd, content, at)).bytesWritten;
      kernel.seal(fd);
      return fd;
    } catch (error) {
      closeQuietly(kernel, fd);
      throw error;
    }
  }
}

const writeSome = promisify(write);
