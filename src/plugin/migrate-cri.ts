import type { ConfigDocument } from "./config-document.ts";
import { type ConfigPath, isTable } from "./schema.ts";

const cri: ConfigPath = ["plugins", "io.containerd.grpc.v1.cri"];
const images: ConfigPath = ["plugins", "io.containerd.cri.v1.images"];
const runtime: ConfigPath = ["plugins", "io.containerd.cri.v1.runtime"];

/** What the server of the CRI keeps. */
const serverKeys: ReadonlySet<string> = new Set([
  "disable_tcp_service",
  "stream_server_address",
  "stream_server_port",
  "stream_idle_timeout",
  "enable_tls_streaming",
  "x509_key_pair_streaming",
]);
const imageKeys: readonly string[] = [
  "registry",
  "image_decryption",
  "max_concurrent_downloads",
  "image_pull_progress_timeout",
  "image_pull_with_sync_fs",
  "stats_collect_period",
];
const imageKeysOfContainerd: readonly string[] = [
  "snapshotter",
  "disable_snapshot_annotations",
  "discard_unpacked_layers",
];

/**
 * Parts the one table that the CRI had before version 3 into those of its images, its runtime and its server.
 * Source: containerd plugins/cri/images/plugin.go, plugins/cri/runtime/plugin.go, plugins/cri/cri.go: configMigration.
 */
export function partCri(document: ConfigDocument): ConfigDocument {
  if (!isTable(document.get(cri))) return document;
  return restToRuntime(partContainerd(toImages(document)));
}

/** What is said in the old table counts. */
function toImages(document: ConfigDocument): ConfigDocument {
  const moves = [
    [
      [...cri, "sandbox_image"],
      [...images, "pinned_images", "sandbox"],
    ],
    ...imageKeys.map((key) => [
      [...cri, key],
      [...images, key],
    ]),
    ...imageKeysOfContainerd.map((key) => [
      [...cri, "containerd", key],
      [...images, key],
    ]),
  ] as const;
  let moved = document;
  for (const [from, to] of moves) {
    if (moved.get(from) !== undefined) moved = moved.remove(to).move(from, to);
  }
  return moved;
}

/** What is said in the new table counts. */
function restToRuntime(document: ConfigDocument): ConfigDocument {
  let moved = document;
  for (const key of keysOf(document, cri)) {
    if (key !== "cni" && key !== "containerd" && !serverKeys.has(key))
      moved = moved.move([...cri, key], [...runtime, key]);
  }
  return moved;
}

function partContainerd(document: ConfigDocument): ConfigDocument {
  let moved = moveAll(document, "containerd");
  for (const name of keysOf(moved, [...runtime, "containerd", "runtimes"])) {
    const one = [...runtime, "containerd", "runtimes", name];
    if (moved.get([...one, "sandboxer"]) === undefined)
      moved = moved.move([...one, "sandbox_mode"], [...one, "sandboxer"]);
  }
  const binDir = moved.get([...cri, "cni", "bin_dir"]);
  if (binDir === undefined) return moveAll(moved, "cni");
  const binDirs = moved.get([...runtime, "cni", "bin_dirs"]);
  if (!Array.isArray(binDirs) || binDirs.length === 0)
    moved = moved.put([...runtime, "cni", "bin_dirs"], [binDir], [...cri, "cni", "bin_dir"]);
  return moveAll(moved.remove([...cri, "cni", "bin_dir"]), "cni");
}

/** Every key of a table of the CRI's, to the table of the same name of its runtime. */
function moveAll(document: ConfigDocument, name: string): ConfigDocument {
  let moved = document;
  for (const key of keysOf(document, [...cri, name])) moved = moved.move([...cri, name, key], [...runtime, name, key]);
  return moved.remove([...cri, name]);
}

function keysOf(document: ConfigDocument, path: ConfigPath): readonly string[] {
  const found = document.get(path);
  return isTable(found) ? Object.keys(found) : [];
}
