import { definePlugin, type PluginDefinition } from "../../plugin/index.ts";
import { WARNING } from "../tokens.ts";
import { createWarnings } from "./index.ts";

export const warningsPlugin: PluginDefinition = definePlugin({
  type: WARNING,
  id: "deprecations",
  init: () => createWarnings(),
});
