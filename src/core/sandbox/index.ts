export { collectableSandboxes } from "./collectable-sandboxes.ts";
export { createSandboxControllerService, type SandboxControllerServiceOptions } from "./controller-service.ts";
export type {
  SandboxController,
  SandboxCreation,
  SandboxEndpoint,
  SandboxExit,
  SandboxInstance,
  SandboxStatus,
  SandboxStore,
} from "./sandboxes.ts";
export { createShimController, type ShimControllerOptions } from "./shim-controller.ts";
export { createSandboxStore, importSandbox, type SandboxStoreOptions, sandboxesSchema } from "./store.ts";
export { createSandboxStoreService } from "./store-service.ts";
