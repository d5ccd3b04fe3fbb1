import { definePlugin, type PluginDefinition } from "../../plugin/index.ts";
import { createKernel } from "../../sys/index.ts";
import { createBundles, diedUnder, hostSocketPath, treeUnmounter } from "../tasks/index.ts";
import {
  exchangeToken,
  GRPC,
  metadataToken,
  POD_SANDBOX_CONTROLLER,
  SANDBOX_CONTROLLER,
  SANDBOX_STORE,
  sandboxStoreToken,
  tasksToken,
} from "../tokens.ts";
import {
  createSandboxControllerService,
  createSandboxStore,
  createSandboxStoreService,
  createShimController,
} from "./index.ts";

/** The version of the shim's protocol that the shared host speaks. */
const shimVersion = 3;

const storePlugin: PluginDefinition = definePlugin({
  type: SANDBOX_STORE,
  id: "local",
  requires: { metadata: metadataToken },
  init: ({ metadata }) => createSandboxStore({ metadata }),
});

const shimControllerPlugin: PluginDefinition = definePlugin({
  type: SANDBOX_CONTROLLER,
  id: "shim",
  requires: { tasks: tasksToken },
  init: ({ tasks }, { daemon, log, scope }) => {
    const unmountTree = treeUnmounter(createKernel());
    const folder = `${SANDBOX_CONTROLLER.type}.shim`;
    return scope.use(
      createShimController({
        shims: tasks.shims,
        bundles: createBundles({ state: daemon.state, folder, unmountTree, log }),
        diedUnder,
        timeouts: daemon.timeouts,
        endpoint: { address: `ttrpc+unix://${hostSocketPath(daemon.state)}`, version: shimVersion },
        log,
      }),
    );
  },
});

const storeServicePlugin: PluginDefinition = definePlugin({
  type: GRPC,
  id: "sandboxes",
  requires: { store: sandboxStoreToken },
  init: ({ store }) => ({ grpc: [createSandboxStoreService({ store })] }),
});

const controllerServicePlugin: PluginDefinition = definePlugin({
  type: GRPC,
  id: "sandbox-controllers",
  requires: { pods: POD_SANDBOX_CONTROLLER, others: SANDBOX_CONTROLLER, exchange: exchangeToken },
  init: ({ pods, others, exchange }) => {
    const controllers = new Map([...pods, ...others]);
    return { grpc: [createSandboxControllerService({ controllers, exchange })] };
  },
});

export const sandboxPlugins: readonly PluginDefinition[] = [
  storePlugin,
  shimControllerPlugin,
  storeServicePlugin,
  controllerServicePlugin,
];
