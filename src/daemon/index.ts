export { type MainOptions, main } from "./main.ts";
export { daemonPlugins, daemonSchemas } from "./plugins.ts";
export { listRpcs, type Rpc, unfinishedText, withUnfinished } from "./rpcs.ts";
