import {
  definePlugin,
  type Kind,
  kind,
  type PluginDefinition,
  type Token,
  table,
  text,
  texts,
  token,
} from "../../plugin/index.ts";
import type { ContentStore } from "../content/index.ts";
import { containersToken, exchangeToken, GRPC, RUNTIME, SERVICE, tasksToken } from "../tokens.ts";
import { hostCommand } from "./host-command.ts";
import {
  createHostProcess,
  createTaskManager,
  createTasksService,
  type HostLauncher,
  type TaskManager,
} from "./index.ts";

const SHIM: Kind<unknown> = kind("io.containerd.shim.v1");

const launcherToken: Token<HostLauncher> = token(SHIM, "manager");
const contentToken: Token<ContentStore> = token(SERVICE, "content-service");

/** URIs that the host's stdio takes. Source: containerd core/runtime/v2/task_manager.go, supportedLogURISchemes. */
const logSchemes = "fifo,binary,file";

const shimPlugin: PluginDefinition = definePlugin({
  type: SHIM,
  id: "manager",
  // `socket_dir` is containerd's: where each shim has its socket. The host has one, in the state folder.
  config: table({ env: texts(), socket_dir: text(), runtime_binary: text() }),
  init: (_given, { config, daemon }) => {
    const { command, env } = hostCommand();
    const configured = Object.fromEntries(config.env.map(splitVariable));
    return createHostProcess({
      state: daemon.state,
      command,
      runtimeBinary: config.runtime_binary === "" ? undefined : config.runtime_binary,
      env: { ...process.env, ...configured, ...env },
    });
  },
});

const managerPlugin: PluginDefinition = definePlugin({
  type: RUNTIME,
  id: "task",
  requires: { launcher: launcherToken, containers: containersToken, content: contentToken, exchange: exchangeToken },
  config: table({ platforms: texts() }),
  init: ({ launcher, containers, content, exchange }, { daemon, log, meta, scope }) => {
    meta.platforms.push({ os: "linux", architecture: process.arch === "x64" ? "amd64" : process.arch, variant: "" });
    meta.exports.set("log-uri-schemes", logSchemes);
    const { root, state } = daemon;
    return scope.use(createTaskManager({ root, state, launcher, containers, content, exchange, log }));
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

function splitVariable(line: string): [string, string] {
  const at = line.indexOf("=");
  return at < 0 ? [line, ""] : [line.slice(0, at), line.slice(at + 1)];
}
