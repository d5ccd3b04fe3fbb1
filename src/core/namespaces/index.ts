export { ensureNamespace } from "./known-namespace.ts";
export type { NamespaceInfo, NamespaceStore, OccupancyCheck } from "./namespaces.ts";
export { createNamespacesService } from "./service.ts";
export { createNamespaceStore, importNamespace, type NamespaceStoreOptions, namespacesSchema } from "./store.ts";
