export type { NamespaceInfo, NamespaceStore, OccupancyCheck } from "./namespaces.ts";
export { ensureNamespace, requireNamespace } from "./required-namespace.ts";
export { createNamespacesService } from "./service.ts";
export { createNamespaceStore, type NamespaceStoreOptions, namespacesSchema } from "./store.ts";
