export { type MainOptions, main } from "./main.ts";
export { daemonPlugins } from "./plugins.ts";
