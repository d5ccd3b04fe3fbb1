export type { Activation, ActivationRequest, ActiveMount, MountManager } from "./activations.ts";
export { createMountManager, type MountManagerOptions } from "./mount-manager.ts";
export { decodeMounts, encodeMounts } from "./mount-messages.ts";
export { type AllowedTypes, needsManager } from "./mount-plan.ts";
export type { MountSpec } from "./mount-spec.ts";
export { createMountsService } from "./service.ts";
export { mountsSchema } from "./store.ts";
