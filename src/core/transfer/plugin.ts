import { readFileSync } from "node:fs";
import { systemClock } from "../../lib/clock.ts";
import { invalidArgument, notFound, quote } from "../../lib/faults.ts";
import {
  formatPlatform,
  hostPlatform,
  onlyPlatform,
  type Platform,
  parsePlatform,
  systemOfPlatform,
} from "../../lib/platforms.ts";
import { createSlots, type Slots } from "../../lib/slots.ts";
import {
  type ConfigSchema,
  definePlugin,
  flag,
  integer,
  listOf,
  type PluginDefinition,
  type PluginPlatform,
  type PluginView,
  table,
  text,
  texts,
} from "../../plugin/index.ts";
import type { Differ } from "../diff/index.ts";
import { createHostHealth } from "../remotes/index.ts";
import type { Snapshotters } from "../snapshots/index.ts";
import {
  containersToken,
  contentToken,
  DIFFER,
  GRPC,
  IMAGE_VERIFIER,
  imagesToken,
  LIGHTER_GRPC,
  leasesToken,
  SNAPSHOT,
  snapshottersToken,
  streamsToken,
  TRANSFER,
  tasksToken,
  transferToken,
} from "../tokens.ts";
import { createUnpacker, type UnpackTarget } from "../unpack/index.ts";
import { combineVerifiers } from "../verifiers/index.ts";
import { createContainerCopies, createRegistriesService, createTransferrer, createTransferService } from "./index.ts";

const unpackSchema = table({
  platform: text(),
  snapshotter: text(),
  differ: text(),
  config_type: text(),
  layer_types: texts(),
  optional: flag(),
});
type UnpackConfig = ReturnType<typeof unpackSchema.decode>;

/** Undefined where nothing is said: a list that is empty means that nothing is unpacked. */
const unpackConfigs: ConfigSchema<readonly UnpackConfig[] | undefined> = {
  expects: "a list",
  encode: (value) => (value === undefined ? undefined : listOf(unpackSchema).encode(value)),
  decode: (value, path, report) => (value === undefined ? undefined : listOf(unpackSchema).decode(value, path, report)),
};

/** Source: containerd plugins/transfer/plugin.go, defaultConfig; plugin_defaults_linux.go. */
const localPlugin: PluginDefinition = definePlugin({
  type: TRANSFER,
  id: "local",
  requires: {
    leases: leasesToken,
    content: contentToken,
    images: imagesToken,
    snapshotters: snapshottersToken,
    differs: DIFFER,
    verifiers: IMAGE_VERIFIER,
  },
  config: table({
    max_concurrent_downloads: integer(3, 0),
    concurrent_layer_fetch_buffer: integer(0, 0),
    max_concurrent_uploaded_layers: integer(3, 0),
    check_platform_supported: flag(),
    unpack_config: unpackConfigs,
    config_path: text(),
    // containerd's default is 1, layers one after the other; here 0 is no limit but the differ's.
    max_concurrent_unpacks: integer(0, 0),
  }),
  live: ["config_path", "max_concurrent_downloads", "concurrent_layer_fetch_buffer", "max_concurrent_uploaded_layers"],
  init: (given, { config, plugins, log, onReload }) => {
    let now = config;
    let places = transferPlaces(config);
    const configured = config.unpack_config ?? defaultUnpacks();
    const parallel = config.max_concurrent_unpacks !== 1 && !inUserNamespace();
    const targets = configured.flatMap((one) => {
      const target = unpackTarget(
        one,
        given.snapshotters,
        given.differs,
        plugins,
        config.check_platform_supported,
        parallel,
      );
      return target ?? [];
    });
    const health = createHostHealth();
    onReload((next) => () => {
      // What is under way keeps to the places that it began with.
      places = transferPlaces(next, places);
      now = next;
      // Whoever has it read again may have mended a mirror.
      health.forget();
    });
    return createTransferrer({
      ...given,
      unpacker: createUnpacker({ content: given.content, maxUnpacks: parallel ? config.max_concurrent_unpacks : 0 }),
      targets,
      verifiers: combineVerifiers(given.verifiers),
      uploads: () => places.uploads,
      clock: systemClock,
      resolverOptions: ({ hostFolder, headers, defaultScheme, credentials, onHttp }) => ({
        hostFolders: (hostFolder === "" ? now.config_path : hostFolder).split(":").filter((path) => path !== ""),
        headers,
        defaultScheme,
        credentials,
        onHttp,
        health,
        downloads: places.downloads,
        // As containerd: smaller buffers do not ask for ranges.
        chunkBytes: now.concurrent_layer_fetch_buffer > 512 ? now.concurrent_layer_fetch_buffer : 0,
        onWarning: (reference, warning) => log.warn("registry warning", { reference, warning }),
      }),
    });
  },
});

interface Limits {
  readonly max_concurrent_downloads: number;
  readonly max_concurrent_uploaded_layers: number;
}

/** Of all pulls together, and of all pushes. */
interface TransferPlaces {
  readonly limits: Limits;
  readonly downloads: Slots;
  readonly uploads: Slots;
}

/** As containerd: 0 is no limit. Source: core/transfer/local/transfer.go, limiterD and limiterU. */
function transferPlaces(limits: Limits, before?: TransferPlaces): TransferPlaces {
  const places = (count: number): Slots => createSlots(count || Number.POSITIVE_INFINITY);
  const { max_concurrent_downloads: downloads, max_concurrent_uploaded_layers: uploads } = limits;
  const isSame = (key: keyof Limits): boolean => before?.limits[key] === limits[key];
  return {
    limits,
    downloads: before !== undefined && isSame("max_concurrent_downloads") ? before.downloads : places(downloads),
    uploads: before !== undefined && isSame("max_concurrent_uploaded_layers") ? before.uploads : places(uploads),
  };
}

/** Source: containerd plugins/transfer/plugin_defaults_linux.go, defaultUnpackConfig. */
function defaultUnpacks(): readonly UnpackConfig[] {
  const common = { config_type: "", layer_types: [] };
  const erofs = { ...hostPlatform, osFeatures: ["erofs"] };
  return [
    { ...common, platform: formatPlatform(hostPlatform), snapshotter: "overlayfs", differ: "walking", optional: false },
    // Only other processes' plugins go by that name here.
    { ...common, platform: formatPlatform(erofs), snapshotter: "erofs", differ: "erofs", optional: true },
  ];
}

/** Errors: notFound (snapshotter or differ), invalidArgument (platform); an optional one that cannot be is undefined. */
function unpackTarget(
  config: UnpackConfig,
  snapshotters: Snapshotters,
  differs: ReadonlyMap<string, Differ>,
  plugins: PluginView,
  exactPlatform: boolean,
  parallel: boolean,
): UnpackTarget | undefined {
  const platform = platformFrom(config.platform);
  const { snapshotter: name, optional } = config;
  if (!snapshotters.names.includes(name)) {
    if (optional) return undefined;
    throw notFound(`snapshotter ${quote(name)}`);
  }
  const differ = config.differ === "" ? differFor(platform, differs, plugins) : differs.get(config.differ);
  if (differ === undefined) {
    if (optional) return undefined;
    throw notFound(config.differ === "" ? "no matching diff plugins" : `diff plugin ${quote(config.differ)}`);
  }
  const capabilities = plugins.find(SNAPSHOT.type, name)?.meta.capabilities ?? [];
  return {
    platform: exactPlatform ? onlyPlatform(platform) : systemOfPlatform(platform),
    snapshotter: snapshotters.get(name),
    rebases: parallel && capabilities.includes("rebase") && differ.settle !== undefined,
    differ,
    configType: config.config_type === "" ? undefined : config.config_type,
    layerTypes: config.layer_types,
  };
}

/** One that says of itself that it is for the platform; the usual one, where that does. Source: plugin.go, getApplier. */
function differFor(platform: Platform, differs: ReadonlyMap<string, Differ>, plugins: PluginView): Differ | undefined {
  const fitting = [...differs].filter(([id]) =>
    plugins.find(DIFFER.type, id)?.meta.platforms.some((one) => onlyPlatform(platformOf(one)).matches(platform)),
  );
  return (fitting.find(([id]) => id === "walking") ?? fitting[0])?.[1];
}

function platformOf({ os, architecture, variant }: PluginPlatform): Platform {
  return { os, architecture, variant: variant === "" ? undefined : variant };
}

function platformFrom(specifier: string): Platform {
  try {
    return parsePlatform(specifier);
  } catch (error) {
    throw invalidArgument(`io.containerd.transfer.v1: platform configuration ${specifier} invalid`, { cause: error });
  }
}

/** True where marks of overlay cannot be made without mounting it. */
function inUserNamespace(): boolean {
  try {
    return !/^\s*0\s+0\s+4294967295\s*$/.test(readFileSync("/proc/self/uid_map", "utf8"));
  } catch {
    // No /proc: nothing is known, and nothing special is assumed.
    return false;
  }
}

const servicePlugin: PluginDefinition = definePlugin({
  type: GRPC,
  id: "transfer",
  requires: { transferrer: transferToken, streams: streamsToken },
  init: ({ transferrer, streams }) => ({ grpc: [createTransferService({ transferrer, streams })] }),
});

/** Beside the transferrer, which containerd starts before it has containers. */
const containersPlugin: PluginDefinition = definePlugin({
  type: LIGHTER_GRPC,
  id: "container-copies",
  requires: {
    transferrer: transferToken,
    containers: containersToken,
    tasks: tasksToken,
    snapshotters: snapshottersToken,
  },
  init: ({ transferrer, ...parts }, { root }) => {
    transferrer.useContainers(createContainerCopies({ ...parts, root }));
    return { grpc: [] };
  },
});

const registriesPlugin: PluginDefinition = definePlugin({
  type: LIGHTER_GRPC,
  id: "registries",
  requires: { transferrer: transferToken, streams: streamsToken },
  init: (given) => ({ grpc: [createRegistriesService(given)] }),
});

export const transferPlugins: readonly PluginDefinition[] = [
  localPlugin,
  servicePlugin,
  registriesPlugin,
  containersPlugin,
];
