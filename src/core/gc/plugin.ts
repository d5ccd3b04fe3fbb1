import { formatDuration } from "../../lib/duration.ts";
import {
  type ConfigSchema,
  definePlugin,
  duration,
  integer,
  leaf,
  type PluginDefinition,
  type PluginMeta,
  table,
} from "../../plugin/index.ts";
import { collectableContainers } from "../containers/index.ts";
import { type OwnContentStore, onlyContent } from "../content/index.ts";
import { collectableImages } from "../images/index.ts";
import { collectableLeases } from "../leases/index.ts";
import { collectableSandboxes } from "../sandbox/index.ts";
import { snapshotsToCollect } from "../snapshots/index.ts";
import { CONTENT, exchangeToken, GC, metadataToken, mountManagerToken, SNAPSHOT } from "../tokens.ts";
import { createGarbageCollector, type ScheduleConfig } from "./index.ts";

/** A fraction. Source: containerd plugins/gc/scheduler.go: below 0 is 0, and at most half of time is taken. */
const fraction = (fallback: number): ConfigSchema<number> =>
  leaf({
    expects: "a number between 0.0 and 0.5",
    example: String(fallback),
    fallback,
    take: (value) =>
      typeof value === "number" && !Number.isNaN(value) ? Math.min(0.5, Math.max(0, value)) : undefined,
  });

const settings = table({
  pause_threshold: fraction(0.02),
  deletion_threshold: integer(0),
  mutation_threshold: integer(100),
  schedule_delay: duration(0),
  startup_delay: duration(100),
});
type Settings = ReturnType<typeof settings.decode>;

/** The scheduler of garbage collection, under containerd's name and with its settings. */
export const gcPlugin: PluginDefinition = definePlugin({
  type: GC,
  id: "scheduler",
  requires: {
    metadata: metadataToken,
    exchange: exchangeToken,
    stores: CONTENT,
    snapshotters: SNAPSHOT,
    mounts: mountManagerToken,
  },
  config: settings,
  live: ["pause_threshold", "deletion_threshold", "mutation_threshold", "schedule_delay"],
  init: ({ metadata, exchange, stores, snapshotters, mounts }, { config, meta, log, scope, onReload }) => {
    const content = onlyContent(stores);
    describe(meta, config);
    const tables = [
      collectableLeases,
      collectableContainers,
      collectableSandboxes,
      collectableImages(exchange),
      snapshotsToCollect([...snapshotters.values()], { metadata, exchange, log }),
      ...("collectables" in content ? (content as OwnContentStore).collectables : []),
      mounts.collectable,
    ];
    const collector = scope.use(createGarbageCollector({ metadata, tables, log, config: scheduleOf(config) }));
    onReload((next) => () => {
      describe(meta, next);
      collector.reconfigure(scheduleOf(next));
    });
    return collector;
  },
});

function describe(meta: PluginMeta, config: Settings): void {
  meta.exports
    .set("PauseThreshold", String(config.pause_threshold))
    .set("DeletionThreshold", String(config.deletion_threshold))
    .set("MutationThreshold", String(Math.max(0, config.mutation_threshold)))
    .set("ScheduleDelay", formatDuration(Math.max(0, config.schedule_delay)));
}

function scheduleOf(config: Settings): ScheduleConfig {
  return {
    pauseThreshold: config.pause_threshold,
    deletionThreshold: config.deletion_threshold,
    mutationThreshold: Math.max(0, config.mutation_threshold),
    scheduleDelayMs: Math.max(0, config.schedule_delay),
    startupDelayMs: Math.max(0, config.startup_delay),
  };
}
