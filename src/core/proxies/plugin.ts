import { join } from "node:path";
import { Content } from "../../gen/containerd/services/content/v1/content_pb.ts";
import { Diff } from "../../gen/containerd/services/diff/v1/diff_pb.ts";
import { Controller } from "../../gen/containerd/services/sandbox/v1/sandbox_pb.ts";
import { Snapshots } from "../../gen/containerd/services/snapshots/v1/snapshots_pb.ts";
import { invalidArgument } from "../../lib/faults.ts";
import { definePlugin, type PluginDefinition, type PluginMeta } from "../../plugin/index.ts";
import { hasBlobs, openRemoteContentStore, sharingPolicyOf } from "../content/index.ts";
import { hasSnapshots, openProxySnapshotter } from "../snapshots/index.ts";
import {
  CONTENT,
  DIFFER,
  exchangeToken,
  hostPlatform,
  leasesToken,
  metadataToken,
  namespacesToken,
  SANDBOX_CONTROLLER,
  SNAPSHOT,
  sandboxStoreToken,
  tasksToken,
} from "../tokens.ts";
import { LazyConnection } from "./lazy-connection.ts";
import { createProxyController, endpointsOf } from "./proxied-controller.ts";
import { createProxyDiffer } from "./proxied-differ.ts";

/** One entry of `[proxy_plugins]`. */
export interface ProxySettings {
  /** `snapshot`, `content`, `diff`, `sandbox`, or their plugin types; others are not built. */
  readonly type: string;
  readonly address: string;
  /** `os/architecture[/variant]`; the machine's own when empty. */
  readonly platform: string;
  readonly exports: ReadonlyMap<string, string>;
  readonly capabilities: readonly string[];
}

export interface ProxyPlugins {
  readonly plugins: readonly PluginDefinition[];
  /** Entries of a type that no proxy is built for. */
  readonly unbuilt: readonly string[];
}

/** Plugins for the parts that other processes serve, by the configuration's `[proxy_plugins]`. */
export function proxyPlugins(settings: ReadonlyMap<string, ProxySettings>): ProxyPlugins {
  const plugins: PluginDefinition[] = [];
  const unbuilt: string[] = [];
  for (const [id, proxy] of settings) {
    if (proxy.type === "snapshot" || proxy.type === SNAPSHOT.type) plugins.push(snapshotProxy(id, proxy));
    else if (proxy.type === "content" || proxy.type === CONTENT.type) plugins.push(contentProxy(id, proxy));
    else if (proxy.type === "sandbox" || proxy.type === SANDBOX_CONTROLLER.type) plugins.push(sandboxProxy(id, proxy));
    else if (proxy.type === "diff" || proxy.type === DIFFER.type) plugins.push(diffProxy(id, proxy));
    else unbuilt.push(id);
  }
  return { plugins, unbuilt };
}

const requires = {
  metadata: metadataToken,
  exchange: exchangeToken,
  leases: leasesToken,
  namespaces: namespacesToken,
};

function snapshotProxy(id: string, proxy: ProxySettings): PluginDefinition {
  return definePlugin({
    type: SNAPSHOT,
    id,
    requires,
    init: (given, { meta, log, scope }) => {
      const connection = scope.use(connectionOf(id, proxy, meta));
      given.namespaces.registerOccupancy(`snapshots on "${id}" snapshotter`, (db, namespace) =>
        hasSnapshots(db, id, namespace),
      );
      const connect = () => connection.client(Snapshots);
      return scope.use(openProxySnapshotter({ ...given, name: id, connect, log }));
    },
  });
}

/** Where one is in use, containerd's own store has to be disabled: there is one content store. */
function contentProxy(id: string, proxy: ProxySettings): PluginDefinition {
  return definePlugin({
    type: CONTENT,
    id,
    requires,
    init: async (given, { meta, log, root, scope, plugins }) => {
      const connection = scope.use(connectionOf(id, proxy, meta));
      given.namespaces.registerOccupancy("blobs", hasBlobs);
      const connect = () => connection.client(Content);
      const sharingPolicy = sharingPolicyOf(plugins);
      const spool = join(root, "spool");
      return scope.use(await openRemoteContentStore({ ...given, name: id, connect, spool, sharingPolicy, log }));
    },
  });
}

function sandboxProxy(id: string, proxy: ProxySettings): PluginDefinition {
  return definePlugin({
    type: SANDBOX_CONTROLLER,
    id,
    requires: { tasks: tasksToken, store: sandboxStoreToken },
    init: ({ tasks, store }, { meta, scope }) => {
      const connection = scope.use(connectionOf(id, proxy, meta));
      const controller = createProxyController(id, () => connection.client(Controller));
      tasks.addSandboxEndpoints(endpointsOf(id, controller, store));
      return controller;
    },
  });
}

function diffProxy(id: string, proxy: ProxySettings): PluginDefinition {
  return definePlugin({
    type: DIFFER,
    id,
    init: (_given, { meta, scope }) => {
      const connection = scope.use(connectionOf(id, proxy, meta));
      return createProxyDiffer(() => connection.client(Diff));
    },
  });
}

function connectionOf(id: string, proxy: ProxySettings, meta: PluginMeta): LazyConnection {
  if (proxy.address === "") throw invalidArgument(`proxy plugin ${id} has no address`);
  const [os = "", architecture = "", variant = ""] = proxy.platform.split("/");
  meta.platforms.push(proxy.platform === "" ? hostPlatform : { os, architecture, variant });
  for (const [key, value] of proxy.exports) meta.exports.set(key, value);
  meta.capabilities.push(...proxy.capabilities);
  return new LazyConnection(proxy.address);
}
