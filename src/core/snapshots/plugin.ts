import {
  definePlugin,
  flag,
  type PluginDefinition,
  type PluginMeta,
  SkipPlugin,
  table,
  text,
  texts,
} from "../../plugin/index.ts";
import type { NamespaceStore } from "../namespaces/index.ts";
import {
  exchangeToken,
  GRPC,
  hostPlatform,
  leasesToken,
  metadataToken,
  namespacesToken,
  SERVICE,
  SNAPSHOT,
  snapshottersToken,
} from "../tokens.ts";
import {
  createSnapshotsService,
  createSnapshotters,
  hasSnapshots,
  inUserNamespace,
  openNativeSnapshotter,
  openOverlaySnapshotter,
  supportsIdMapping,
} from "./index.ts";

const requires = {
  metadata: metadataToken,
  exchange: exchangeToken,
  leases: leasesToken,
  namespaces: namespacesToken,
};

const overlayPlugin: PluginDefinition = definePlugin({
  type: SNAPSHOT,
  id: "overlayfs",
  requires,
  config: table({
    root_path: text(),
    upperdir_label: flag(),
    sync_remove: flag(),
    slow_chown: flag(),
    mount_options: texts(),
  }),
  init: async (given, { config, meta, root: own, log, scope }) => {
    const root = config.root_path || own;
    describe(meta, root, given.namespaces, "overlayfs");
    const remapIds = await supportsIdMapping();
    if (remapIds) meta.capabilities.push("remap-ids");
    // Clients that cannot have their ids mapped by the kernel change the owner of every file, unless told not to.
    if (!config.slow_chown) meta.capabilities.push("only-remap-ids");
    if (!(await inUserNamespace())) meta.capabilities.push("rebase");
    const { mount_options: mountOptions, upperdir_label: upperdirLabel, sync_remove: syncRemove } = config;
    const options = { mountOptions, upperdirLabel, syncRemove, remapIds };
    return scope.use(await openOverlaySnapshotter({ ...given, ...options, root, log }));
  },
});

const nativePlugin: PluginDefinition = definePlugin({
  type: SNAPSHOT,
  id: "native",
  requires,
  config: table({ root_path: text() }),
  init: async (given, { config, meta, root: own, log, scope }) => {
    const root = config.root_path || own;
    describe(meta, root, given.namespaces, "native");
    return scope.use(await openNativeSnapshotter({ ...given, root, log }));
  },
});

/** Clients look for the platform before they use a snapshotter; CRI looks for its folder. */
function describe(meta: PluginMeta, root: string, namespaces: NamespaceStore, name: string): void {
  meta.platforms.push(hostPlatform);
  meta.exports.set("root", root);
  namespaces.registerOccupancy(`snapshots on "${name}" snapshotter`, (db, namespace) =>
    hasSnapshots(db, name, namespace),
  );
}

const localPlugin: PluginDefinition = definePlugin({
  type: SERVICE,
  id: "snapshots-service",
  requires: { all: SNAPSHOT },
  init: ({ all }) => {
    if (all.size === 0) throw new SkipPlugin("no snapshotter");
    return createSnapshotters([...all.values()]);
  },
});

const servicePlugin: PluginDefinition = definePlugin({
  type: GRPC,
  id: "snapshots",
  requires: { snapshotters: snapshottersToken },
  init: ({ snapshotters }) => ({ grpc: [createSnapshotsService({ snapshotters })] }),
});

export const snapshotsPlugins: readonly PluginDefinition[] = [overlayPlugin, nativePlugin, localPlugin, servicePlugin];
