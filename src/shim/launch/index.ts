export { type CommandIo, runShimCommand } from "./commands.ts";
