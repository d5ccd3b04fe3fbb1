import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type FdWatcher, isErrno, type Kernel, OwnedFd, openFlags } from "../../sys/index.ts";
import type { CgroupRecord } from "../state/records.ts";
import { parseFlat, readCgroupFile } from "./cgroup-files.ts";

export interface OomWatchOptions {
  readonly kernel: Kernel;
  readonly watcher: FdWatcher;
  readonly cgroup: CgroupRecord;
  /** Called once a stroke of the OOM killer. */
  readonly onOom: () => void;
}

const readable = 1;
/** EPOLLPRI: how a cgroup file says that it has changed. */
const changed = 2;

/**
 * Tells when the kernel's OOM killer strikes a cgroup.
 * Shape: v1 counts an eventfd up (memory.oom_control through cgroup.event_control); v2's memory.events wakes who polls it.
 * Either way the killer's own counter decides, so that a stroke is told once, also by `check` after the process's end.
 */
export class OomWatch implements Disposable {
  readonly #options: OomWatchOptions;
  readonly #stack = new DisposableStack();
  #told: bigint;

  constructor(options: OomWatchOptions) {
    this.#options = options;
    this.#told = kills(options.cgroup) ?? 0n;
    if (options.cgroup.version === 1) this.#watchV1(options.cgroup.paths["memory"]);
    else this.#watchV2(options.cgroup.path);
  }

  /** Looks at the counter now. */
  check(): void {
    const now = kills(this.#options.cgroup);
    if (now === undefined || now <= this.#told) return;
    this.#told = now;
    this.#options.onOom();
  }

  [Symbol.dispose](): void {
    this.#stack.dispose();
  }

  #watchV1(folder: string | undefined): void {
    if (folder === undefined) return;
    const { kernel, watcher } = this.#options;
    using control = new OwnedFd(kernel, kernel.open(join(folder, "memory.oom_control"), openFlags.readOnly));
    const { fd } = this.#stack.use(new OwnedFd(kernel, kernel.eventFd()));
    writeFileSync(join(folder, "cgroup.event_control"), `${fd} ${control.fd}`);
    const watch = watcher.watch(fd, readable, () => {
      kernel.read(fd, new Uint8Array(8));
      // The kernel also counts up when the cgroup goes away.
      if (readCgroupFile(folder, "memory.oom_control") === undefined) watch[Symbol.dispose]();
      else this.check();
    });
    this.#stack.use(watch);
  }

  #watchV2(folder: string): void {
    const { kernel, watcher } = this.#options;
    let events: OwnedFd;
    try {
      events = this.#stack.use(new OwnedFd(kernel, kernel.open(join(folder, "memory.events"), openFlags.readOnly)));
    } catch (error) {
      // No memory controller here.
      if (isErrno(error, "ENOENT")) return;
      throw error;
    }
    const watch = watcher.watch(events.fd, changed, () => {
      try {
        kernel.read(events.fd, new Uint8Array(512));
        this.check();
      } catch (error) {
        watch[Symbol.dispose]();
        if (!isErrno(error, "ENODEV")) throw error;
      }
    });
    this.#stack.use(watch);
  }
}

/** How often the killer has struck; undefined when the cgroup does not tell. */
function kills(cgroup: CgroupRecord): bigint | undefined {
  const folder = cgroup.version === 1 ? cgroup.paths["memory"] : cgroup.path;
  if (folder === undefined) return undefined;
  const file = cgroup.version === 1 ? "memory.oom_control" : "memory.events";
  return parseFlat(readCgroupFile(folder, file)).get("oom_kill");
}
