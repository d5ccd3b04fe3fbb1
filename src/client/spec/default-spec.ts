import type { DeviceRule, MountEntry, RuntimeSpec } from "./runtime-spec.ts";

/** What a process in a container may do unless told otherwise. Source: containerd pkg/oci/spec.go, docker's default set. */
export const defaultCapabilities: readonly string[] = [
  "CAP_CHOWN",
  "CAP_DAC_OVERRIDE",
  "CAP_FSETID",
  "CAP_FOWNER",
  "CAP_MKNOD",
  "CAP_NET_RAW",
  "CAP_SETGID",
  "CAP_SETUID",
  "CAP_SETFCAP",
  "CAP_SETPCAP",
  "CAP_NET_BIND_SERVICE",
  "CAP_SYS_CHROOT",
  "CAP_KILL",
  "CAP_AUDIT_WRITE",
];

export const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Source: containerd pkg/oci/spec.go, populateDefaultUnixSpec. */
const maskedPaths: readonly string[] = [
  "/proc/acpi",
  "/proc/asound",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/proc/sched_debug",
  "/sys/firmware",
  "/sys/devices/virtual/powercap",
  "/proc/scsi",
];
const readonlyPaths: readonly string[] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/** Source: containerd pkg/oci/mounts.go. */
const mounts: readonly MountEntry[] = [
  mount("/proc", "proc", "proc", "nosuid,noexec,nodev"),
  mount("/dev", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"),
  mount("/dev/pts", "devpts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620,gid=5"),
  mount("/dev/shm", "tmpfs", "shm", "nosuid,noexec,nodev,mode=1777,size=65536k"),
  mount("/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev"),
  mount("/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro"),
  mount("/run", "tmpfs", "tmpfs", "nosuid,strictatime,mode=755,size=65536k"),
];

/** null, random, full, tty, zero, urandom, console, pts and ptmx. Source: containerd pkg/oci/spec_opts.go, WithDefaultUnixDevices. */
const deviceNumbers: readonly (readonly [number, number?])[] = [
  [1, 3],
  [1, 8],
  [1, 7],
  [5, 0],
  [1, 5],
  [1, 9],
  [5, 1],
  [136],
  [5, 2],
];

/**
 * The spec of a container of which nothing but its name is known.
 * Shape: no rlimits, so that the container has its daemon's and an unprivileged daemon can start it too; no seccomp
 * profile, as ctr has none by default.
 */
export function defaultSpec(namespace: string, id: string): RuntimeSpec {
  return {
    ociVersion: "1.0.2",
    process: {
      user: { uid: 0, gid: 0 },
      args: [],
      env: [defaultPath],
      cwd: "/",
      capabilities: {
        bounding: [...defaultCapabilities],
        effective: [...defaultCapabilities],
        permitted: [...defaultCapabilities],
      },
      noNewPrivileges: true,
    },
    root: { path: "rootfs" },
    mounts: mounts.map((entry) => ({ ...entry, options: [...entry.options] })),
    linux: {
      cgroupsPath: `/${namespace}/${id}`,
      namespaces: ["pid", "ipc", "uts", "mount", "network"].map((type) => ({ type })),
      maskedPaths: [...maskedPaths],
      readonlyPaths: [...readonlyPaths],
      resources: { devices: [{ allow: false, access: "rwm" }, ...deviceNumbers.map(allowCharacterDevice)] },
    },
  };
}

function allowCharacterDevice([major, minor]: readonly [number, number?]): DeviceRule {
  return { allow: true, type: "c", major, ...(minor === undefined ? {} : { minor }), access: "rwm" };
}

function mount(destination: string, type: string, source: string, options: string): MountEntry {
  return { destination, type, source, options: options.split(",") };
}
