export type { InfoProvider, Introspection, PluginInfo, ServerInfo } from "./introspection.ts";
export { createIntrospection, type IntrospectionOptions } from "./local-introspection.ts";
export { createIntrospectionService } from "./service.ts";
