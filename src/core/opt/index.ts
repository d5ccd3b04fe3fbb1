export { type OptFolder, withOpt } from "./opt-folder.ts";
