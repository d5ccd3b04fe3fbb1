import { definePlugin, type PluginDefinition } from "../../plugin/index.ts";
import { GRPC } from "../tokens.ts";
import { createVersionService } from "./index.ts";

export const versionPlugin: PluginDefinition = definePlugin({
  type: GRPC,
  id: "version",
  init: () => ({ grpc: [createVersionService()] }),
});
