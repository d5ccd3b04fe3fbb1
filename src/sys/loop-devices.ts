import { type Fd, openFlags } from "./files.ts";
import type { Kernel } from "./kernel.ts";
import { check, lazyLibrary } from "./libc.ts";
import { OwnedFd } from "./owned-fd.ts";
import { isErrno } from "./sys-error.ts";

export interface LoopOptions {
  readonly readOnly: boolean;
  /** Bypasses the page cache of the file. */
  readonly direct: boolean;
}

/** A device whose bytes are a file's; it goes when its last user does. */
export interface LoopDevice extends Disposable {
  readonly path: string;
}

export interface LoopCalls {
  /** The number of a free loop device. Source: loop(4), LOOP_CTL_GET_FREE. */
  freeLoop(control: Fd): number;
  /** Ties a loop device to a file. Source: loop(4), LOOP_CONFIGURE, Linux 5.8. Errors: SysError (EBUSY: another was faster). */
  configureLoop(device: Fd, file: Fd, options: LoopOptions): void;
}

const libc = lazyLibrary({ ioctl: { args: ["i32", "u64", "ptr"], returns: "i32" } });

// Source: linux/loop.h.
const [getFree, configure] = [0x4c82, 0x4c0a];
const flags = { readOnly: 1, autoClear: 4, directIo: 16 } as const;
/** struct loop_config: fd at 0, then struct loop_info64 at 8, whose flags stand at 52. */
const [configBytes, flagsOffset] = [304, 60];

/** SAFETY: the structure lives through the call. JUSTIFICATION: the runtime has no ioctl. */
export const loopCalls: LoopCalls = {
  freeLoop: (control) => check("LOOP_CTL_GET_FREE", () => libc().ioctl(control, getFree, null)),
  configureLoop: (device, file, { readOnly, direct }) => {
    const config = new DataView(new ArrayBuffer(configBytes));
    config.setUint32(0, file, true);
    const wanted = flags.autoClear | (readOnly ? flags.readOnly : 0) | (direct ? flags.directIo : 0);
    config.setUint32(flagsOffset, wanted, true);
    const bytes = new Uint8Array(config.buffer);
    check("LOOP_CONFIGURE", () => libc().ioctl(device, configure, bytes));
  },
};

/** How often another process may be faster at a free device. Source: containerd core/mount/losetup_linux.go. */
const attempts = 100;

/** Makes a file a block device. Errors: SysError. */
export function attachLoop(kernel: Kernel, file: string, options: LoopOptions): LoopDevice {
  const access = (options.readOnly ? openFlags.readOnly : openFlags.readWrite) | openFlags.closeOnExec;
  using backing = new OwnedFd(kernel, kernel.open(file, access));
  using control = new OwnedFd(kernel, kernel.open("/dev/loop-control", openFlags.readWrite));
  for (let tries = 1; ; tries++) {
    const path = `/dev/loop${kernel.freeLoop(control.fd)}`;
    const device = new OwnedFd(kernel, kernel.open(path, access));
    try {
      kernel.configureLoop(device.fd, backing.fd, options);
      return { path, [Symbol.dispose]: () => device[Symbol.dispose]() };
    } catch (error) {
      device[Symbol.dispose]();
      if (!isErrno(error, "EBUSY") || tries === attempts) throw error;
    }
  }
}
