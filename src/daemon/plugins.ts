import { checkpointsSchema } from "../core/checkpoints/index.ts";
import { checkpointsPlugins } from "../core/checkpoints/plugin.ts";
import { containersSchema } from "../core/containers/index.ts";
import { containersPlugins } from "../core/containers/plugin.ts";
import { contentSchema } from "../core/content/index.ts";
import { contentPlugins } from "../core/content/plugin.ts";
import { diffPlugins } from "../core/diff/plugin.ts";
import { eventsPlugins } from "../core/events/plugin.ts";
import { gcPlugin } from "../core/gc/plugin.ts";
import { healthPlugins } from "../core/health/plugin.ts";
import { imagesSchema } from "../core/images/index.ts";
import { imagesPlugins } from "../core/images/plugin.ts";
import { introspectionPlugins } from "../core/introspection/plugin.ts";
import { leasesSchema } from "../core/leases/index.ts";
import { leasesPlugins } from "../core/leases/plugin.ts";
import type { SchemaPart } from "../core/metadata/index.ts";
import { metadataPlugin } from "../core/metadata/plugin.ts";
import { mountsSchema } from "../core/mounts/index.ts";
import { mountsPlugins } from "../core/mounts/plugin.ts";
import { namespacesSchema } from "../core/namespaces/index.ts";
import { namespacesPlugins } from "../core/namespaces/plugin.ts";
import { optPlugin } from "../core/opt/plugin.ts";
import { restartsPlugin } from "../core/restarts/plugin.ts";
import { sandboxesSchema } from "../core/sandbox/index.ts";
import { sandboxPlugins } from "../core/sandbox/plugin.ts";
import { snapshotsSchema } from "../core/snapshots/index.ts";
import { snapshotsPlugins } from "../core/snapshots/plugin.ts";
import { streamingPlugins } from "../core/streaming/plugin.ts";
import { systemPlugin } from "../core/system/plugin.ts";
import { tasksPlugins } from "../core/tasks/plugin.ts";
import { transferPlugins } from "../core/transfer/plugin.ts";
import { verifiersPlugins } from "../core/verifiers/plugin.ts";
import { versionPlugin } from "../core/version/plugin.ts";
import { warningsPlugin } from "../core/warnings/plugin.ts";
import type { PluginDefinition } from "../plugin/index.ts";
import { healthPlugin } from "./api/health.ts";
import { serverPlugins } from "./api/servers.ts";
import { debugPlugin } from "./debug/debug-plugin.ts";

/** The tables of every room. */
export const daemonSchemas: readonly SchemaPart[] = [
  namespacesSchema,
  leasesSchema,
  containersSchema,
  imagesSchema,
  contentSchema,
  snapshotsSchema,
  sandboxesSchema,
  mountsSchema,
  checkpointsSchema,
];

/** Everything that the daemon is made of. A plugin that is not in this list does not exist. */
export const daemonPlugins: readonly PluginDefinition[] = [
  ...eventsPlugins,
  warningsPlugin,
  optPlugin,
  metadataPlugin(daemonSchemas),
  ...namespacesPlugins,
  ...leasesPlugins,
  ...containersPlugins,
  ...imagesPlugins,
  ...contentPlugins,
  ...snapshotsPlugins,
  gcPlugin,
  ...diffPlugins,
  ...streamingPlugins,
  ...verifiersPlugins,
  ...transferPlugins,
  ...tasksPlugins,
  ...sandboxPlugins,
  ...mountsPlugins,
  ...checkpointsPlugins,
  restartsPlugin,
  ...healthPlugins,
  systemPlugin,
  ...introspectionPlugins,
  versionPlugin,
  healthPlugin,
  debugPlugin,
  ...serverPlugins,
];
