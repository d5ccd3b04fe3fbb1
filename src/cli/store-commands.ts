import type { CommandEntry } from "./command.ts";

/** The commands for what lies between a registry and a root: content, snapshots, leases, and the room that they take. */
export const storeCommands: Readonly<Record<string, CommandEntry>> = {
  "image export": {
    summary: "Write images into an archive",
    group: "images",
    load: () => import("./commands/image-export.ts"),
  },
  "image save": {
    summary: "Write images into an archive",
    group: "images",
    aliasOf: "image export",
    load: () => import("./commands/image-export.ts"),
  },
  "image convert": {
    summary: "Make a copy of an image with other layers or media types",
    group: "images",
    load: () => import("./commands/image-convert.ts"),
  },
  "image mount": {
    summary: "Mount an image's files on a folder",
    group: "images",
    load: () => import("./commands/image-mount.ts"),
  },
  "image unmount": {
    summary: "Unmount images",
    group: "images",
    load: () => import("./commands/image-unmount.ts"),
  },
  "image usage": {
    summary: "Show what images take, packed and unpacked",
    group: "images",
    load: () => import("./commands/image-usage.ts"),
  },
  "image check": {
    summary: "Check that images are all there",
    group: "images",
    load: () => import("./commands/image-check.ts"),
  },
  "image referrers": {
    summary: "List what refers to an image in its registry",
    group: "images",
    load: () => import("./commands/image-referrers.ts"),
  },
  "image prune": {
    summary: "Remove unused images",
    group: "images",
    load: () => import("./commands/image-prune.ts"),
  },
  "content ls": {
    summary: "List blobs, what they are and who needs them",
    group: "stores",
    load: () => import("./commands/content-ls.ts"),
  },
  "content get": {
    summary: "Print a blob, or write it into a file",
    group: "stores",
    load: () => import("./commands/content-get.ts"),
  },
  "content ingest": {
    summary: "Put a file into the content store",
    group: "stores",
    load: () => import("./commands/content-ingest.ts"),
  },
  "content label": {
    summary: "Show, set and take away a blob's labels",
    group: "stores",
    load: () => import("./commands/content-label.ts"),
  },
  "content rm": { summary: "Remove blobs", group: "stores", load: () => import("./commands/content-rm.ts") },
  "content active": {
    summary: "List blobs that are being written, or were left unfinished",
    group: "stores",
    load: () => import("./commands/content-active.ts"),
  },
  "content abort": {
    summary: "Give up unfinished blobs",
    group: "stores",
    load: () => import("./commands/content-abort.ts"),
  },
  "snapshot ls": {
    summary: "List snapshots and who needs them",
    group: "stores",
    load: () => import("./commands/snapshot-ls.ts"),
  },
  "snapshot tree": {
    summary: "Show which snapshot stands on which",
    group: "stores",
    load: () => import("./commands/snapshot-tree.ts"),
  },
  "snapshot info": {
    summary: "Show all that is known of a snapshot",
    group: "stores",
    load: () => import("./commands/snapshot-info.ts"),
  },
  "snapshot usage": {
    summary: "Show what snapshots take on disk",
    group: "stores",
    load: () => import("./commands/snapshot-usage.ts"),
  },
  "snapshot mounts": {
    summary: "Show how a snapshot is mounted",
    group: "stores",
    load: () => import("./commands/snapshot-mounts.ts"),
  },
  "snapshot prepare": {
    summary: "Make a snapshot to write into",
    group: "stores",
    load: () => import("./commands/snapshot-prepare.ts"),
  },
  "snapshot view": {
    summary: "Make a snapshot to read",
    group: "stores",
    load: () => import("./commands/snapshot-view.ts"),
  },
  "snapshot commit": {
    summary: "Make a snapshot that was written into one to build on",
    group: "stores",
    load: () => import("./commands/snapshot-commit.ts"),
  },
  "snapshot rm": { summary: "Remove snapshots", group: "stores", load: () => import("./commands/snapshot-rm.ts") },
  "snapshot diff": {
    summary: "Write what a snapshot changed as a layer",
    group: "stores",
    load: () => import("./commands/snapshot-diff.ts"),
  },
  "lease ls": {
    summary: "List leases and what they keep",
    group: "stores",
    load: () => import("./commands/lease-ls.ts"),
  },
  "lease create": { summary: "Create a lease", group: "stores", load: () => import("./commands/lease-create.ts") },
  "lease rm": { summary: "Remove leases", group: "stores", load: () => import("./commands/lease-rm.ts") },
  "lease add": {
    summary: "Have a lease keep something",
    group: "stores",
    load: () => import("./commands/lease-add.ts"),
  },
  "lease resources": {
    summary: "List what a lease keeps",
    group: "stores",
    load: () => import("./commands/lease-resources.ts"),
  },
  "system df": {
    summary: "Show what takes how much room, and why",
    group: "system",
    load: () => import("./commands/system-df.ts"),
  },
  "system prune": {
    summary: "Remove stopped containers, unused images and expired leases",
    group: "system",
    load: () => import("./commands/system-prune.ts"),
  },
  "system gc": {
    summary: "Collect garbage, or explain why something is kept",
    group: "system",
    load: () => import("./commands/system-gc.ts"),
  },
  "debug stuck": {
    summary: "Show which calls are under way, and what each waits for",
    group: "system",
    load: () => import("./commands/debug-stuck.ts"),
  },
  "debug handles": {
    summary: "Show what the daemon holds: descriptors, children, tasks, memory",
    group: "system",
    load: () => import("./commands/debug-handles.ts"),
  },
  "debug heap": {
    summary: "Write a snapshot of the daemon's heap",
    group: "system",
    load: () => import("./commands/debug-heap.ts"),
  },
  "debug profile": {
    summary: "Write where the daemon's processor time goes",
    group: "system",
    load: () => import("./commands/debug-profile.ts"),
  },
  "system upgrade": {
    summary: "Put another program in the daemon's place, while containers run",
    group: "system",
    load: () => import("./commands/system-upgrade.ts"),
  },
  "system check": {
    summary: "Compare what the daemon's stores say with what is on disk",
    group: "system",
    load: () => import("./commands/system-check.ts"),
  },
};
