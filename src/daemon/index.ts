export { type MainOptions, main } from "./main.ts";
export { daemonPlugins } from "./plugins.ts";
export { listRpcs, type Rpc, unfinishedText, withUnfinished } from "./rpcs.ts";
