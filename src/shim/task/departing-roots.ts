import { close } from "node:fs";
import { promisify } from "node:util";
import { messageOf } from "../../lib/faults.ts";
import type { Logger } from "../../lib/log.ts";
import { detachAll, type Fd, type Kernel, type MountRequest } from "../../sys/index.ts";

/** Folders of the built-in overlayfs snapshotter. Source: containerd plugins/snapshots/overlay/overlay.go. */
const ownUpper = /\/io\.containerd\.snapshotter\.v1\.overlayfs\/snapshots\/\d+\/fs$/;

/**
 * The upper folder of a root that may go behind its task's back; undefined of any other.
 * Shape: an overlay of the built-in snapshotter's folders alone, which can be removed, or read, while it goes. What other
 * snapshotters mount, they may want to take down once the task is deleted: it must be gone by then.
 */
export function upperOf(rootfs: readonly MountRequest[]): string | undefined {
  const [mount, ...others] = rootfs;
  if (mount?.type !== "overlay" || others.length > 0) return undefined;
  if (mount.options.some((option) => /^[ug]idmap=/.test(option))) return undefined;
  const upper = mount.options.find((option) => option.startsWith("upperdir="))?.slice("upperdir=".length);
  return upper !== undefined && ownUpper.test(upper) ? upper : undefined;
}

export interface DepartingRootsOptions {
  readonly kernel: Kernel;
  readonly log: Logger;
}

/**
 * Roots of deleted tasks on their way out.
 * Shape: the end of an overlay writes back all of the filesystem that its upper folder is on, which takes from a millisecond to
 * seconds. A root is out of sight at once; a thread of the pool waits for the rest, while the host goes on.
 */
export class DepartingRoots {
  readonly #options: DepartingRootsOptions;
  readonly #leaving = new Map<string, Promise<void>>();

  constructor(options: DepartingRootsOptions) {
    this.#options = options;
  }

  /** Takes a root out of sight. Effects: it begins to go when the answer is disposed, or when this host dies. */
  detach(rootfs: string, upper: string): Disposable {
    const held = detachAll(this.#options.kernel, rootfs);
    return { [Symbol.dispose]: () => this.#leave(upper, held) };
  }

  /** Settles when nothing is left that has this upper folder: two overlays at once must not have it. */
  async gone(upper: string): Promise<void> {
    await this.#leaving.get(upper);
  }

  #leave(upper: string, held: readonly Fd[]): void {
    const going = Promise.all([this.#leaving.get(upper), ...held.map((fd) => this.#close(fd))]).then(() => {
      if (this.#leaving.get(upper) === going) this.#leaving.delete(upper);
    });
    this.#leaving.set(upper, going);
  }

  async #close(fd: Fd): Promise<void> {
    try {
      await closeInPool(fd);
    } catch (error) {
      // The descriptor is gone whatever it says. Source: close(2).
      this.#options.log.warn("the filesystem of a deleted task's root could not be written back", {
        error: messageOf(error),
      });
    }
  }
}

const closeInPool = promisify(close);
