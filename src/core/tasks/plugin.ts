import { statfsSync } from "node:fs";
import { createFailpoint, failpointVariable } from "../../lib/failpoints.ts";
import { invalidArgument, quote } from "../../lib/faults.ts";
import {
  definePlugin,
  type Kind,
  kind,
  optional,
  type PluginDefinition,
  type Token,
  table,
  text,
  texts,
  token,
} from "../../plugin/index.ts";
import type { ContentStore } from "../content/index.ts";
import { withOpt } from "../opt/index.ts";
import {
  containersToken,
  exchangeToken,
  GRPC,
  mountManagerToken,
  optToken,
  RUNTIME,
  SERVICE,
  tasksToken,
  warningsToken,
} from "../tokens.ts";
import { hostCommand, publishCommand } from "./host/host-command.ts";
import {
  createHostProcess,
  createTaskManager,
  createTasksService,
  type HostLauncher,
  type ProcessShimsConfig,
  type TaskManager,
} from "./index.ts";
import type { DaemonFailpoint } from "./steps.ts";

const SHIM: Kind<unknown> = kind("io.containerd.shim.v1");

interface ShimManager {
  /** Where shims of other runtimes are looked for. */
  readonly path: string;
  readonly launcher: HostLauncher;
  readonly shims: ProcessShimsConfig;
}

const shimsToken: Token<ShimManager> = token(SHIM, "manager");
const contentToken: Token<ContentStore> = token(SERVICE, "content-service");

/** URIs that the host's stdio takes. Source: containerd core/runtime/v2/task_manager.go, supportedLogURISchemes. */
const logSchemes = "fifo,binary,file";

const shimSettings = table({
  env: texts([], "NAME=value"),
  socket_dir: text("", "/run/containerd/s"),
  runtime_binary: text("", "/usr/bin/crun"),
  own_shims: texts([], "io.containerd.runc.v2"),
});

const shimPlugin: PluginDefinition = definePlugin({
  type: SHIM,
  id: "manager",
  // `socket_dir` is containerd's: where shims of other people have their sockets. The host has its own in the state folder.
  // `own_shims` names runtimes that get their own shim (containerd-shim-runc-v2) though the host knows them.
  requires: { opt: optional(optToken) },
  config: shimSettings,
  live: ["env", "runtime_binary", "own_shims"],
  init: ({ opt }, { config, daemon, onReload }) => {
    const { command, env } = hostCommand();
    const settingsOf = (of: typeof config): LiveSettings => ({
      env: { ...withOpt(process.env, opt), ...Object.fromEntries(of.env.map(splitVariable)) },
      runtimeBinary: of.runtime_binary === "" ? undefined : of.runtime_binary,
      ownShims: new Set(of.own_shims),
    });
    let now = settingsOf(config);
    // They count for what is started from then on: shims, and the next host.
    onReload((next) => () => {
      now = settingsOf(next);
    });
    const { state, grpcAddress, ttrpcAddress } = daemon;
    const launcher = createHostProcess({
      state,
      command,
      get runtimeBinary() {
        return now.runtimeBinary;
      },
      get env() {
        return { ...now.env, ...env };
      },
    });
    const shims = {
      grpcAddress,
      ttrpcAddress,
      publishBinary: publishCommand(),
      socketDir: socketDir(config.socket_dir, state),
      get env() {
        return now.env;
      },
      get runtimes() {
        return now.ownShims;
      },
      // A program that goes by a variable is not to be told apart by others who hand it on.
      hostShim: Object.keys(env).length === 0 ? command[0] : undefined,
    };
    return { launcher, shims, path: withOpt(process.env, opt)["PATH"] ?? "" };
  },
});

/** What may change while the daemon runs. */
interface LiveSettings {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly runtimeBinary: string | undefined;
  readonly ownShims: ReadonlySet<string>;
}

const managerPlugin: PluginDefinition = definePlugin({
  type: RUNTIME,
  id: "task",
  requires: {
    manager: shimsToken,
    containers: containersToken,
    content: contentToken,
    exchange: exchangeToken,
    mounts: mountManagerToken,
    warnings: warningsToken,
  },
  config: table({ platforms: texts() }),
  init: ({ manager, containers, content, exchange, mounts, warnings }, { daemon, log, meta, scope }) => {
    meta.platforms.push({ os: "linux", architecture: process.arch === "x64" ? "amd64" : process.arch, variant: "" });
    meta.exports.set("log-uri-schemes", logSchemes);
    const { root, state, timeouts, returning } = daemon;
    const failpoint: DaemonFailpoint = createFailpoint(process.env[failpointVariable]);
    if (!cgroupsUnified()) warnings.emit("cgroup-v1");
    const given = {
      root,
      state,
      ...manager,
      containers,
      content,
      exchange,
      mounts,
      timeouts,
      failpoint,
      log,
      passedOn: returning?.passedOn,
    };
    return scope.use(createTaskManager({ ...given, deprecated: (deprecation) => warnings.emit(deprecation) }));
  },
});

const localPlugin: PluginDefinition = definePlugin({
  type: SERVICE,
  id: "tasks-service",
  requires: { tasks: tasksToken },
  config: table({ blockio_config_file: text(), rdt_config_file: text() }),
  init: ({ tasks }, { config, log }) => {
    for (const [key, path] of Object.entries(config)) {
      if (path !== "") log.warn("this setting is not built yet and has no effect", { key, path });
    }
    return tasks;
  },
});

const servicePlugin: PluginDefinition = definePlugin({
  type: GRPC,
  id: "tasks",
  requires: { tasks: token<TaskManager>(SERVICE, "tasks-service") },
  init: ({ tasks }, { log }) => ({ grpc: [createTasksService({ tasks, log })] }),
});

export const tasksPlugins: readonly PluginDefinition[] = [shimPlugin, managerPlugin, localPlugin, servicePlugin];

/** From statfs(2). */
const cgroup2Magic = 0x63677270;

/** Whether cgroup v2 has all controllers. Source: containerd cgroups v3 utils.go, Mode. */
function cgroupsUnified(): boolean {
  try {
    return statfsSync("/sys/fs/cgroup").type === cgroup2Magic;
  } catch {
    return false; // there are no cgroups
  }
}

function splitVariable(line: string): [string, string] {
  const at = line.indexOf("=");
  return at < 0 ? [line, ""] : [line.slice(0, at), line.slice(at + 1)];
}

/** A socket's name is 64 digits: with a longer folder its path is too long. Source: core/runtime/v2/socket_linux.go. */
const socketDirMax = 42;

function socketDir(configured: string, state: string): string {
  if (configured === "") return state.length + 2 <= socketDirMax ? `${state}/s` : "/run/containerd/s";
  if (!configured.startsWith("/")) throw invalidArgument(`socket_dir must be an absolute path: ${quote(configured)}`);
  if (configured.length > socketDirMax) {
    throw invalidArgument(`socket_dir length must be no longer than ${socketDirMax} characters`);
  }
  return configured;
}
