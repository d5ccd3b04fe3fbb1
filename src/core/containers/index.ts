export { collectableContainers } from "./collectable-containers.ts";
export type { ContainerName, ContainerStore } from "./containers.ts";
export { createContainersService } from "./service.ts";
export { type ContainerStoreOptions, containersSchema, createContainerStore, importContainer } from "./store.ts";
