import { definePlugin, duration, integer, type PluginDefinition, table, text, texts } from "../../plugin/index.ts";
import { IMAGE_VERIFIER } from "../tokens.ts";
import { createBindirVerifier } from "./index.ts";
import type { WayIn } from "./verifiers.ts";

const ways: readonly WayIn[] = ["pull", "import", "create"];

const bindirPlugin: PluginDefinition = definePlugin({
  type: IMAGE_VERIFIER,
  id: "bindir",
  config: table({
    bin_dir: text("/opt/containerd/image-verifier/bin"),
    max_verifiers: integer(10),
    per_verifier_timeout: duration(10_000),
    // Ours: which ways in are guarded. containerd guards pulls through its transfer service alone.
    guards: texts(ways),
  }),
  init: (_given, { config }) =>
    createBindirVerifier({
      binDir: config.bin_dir,
      maxVerifiers: config.max_verifiers,
      timeoutMs: config.per_verifier_timeout,
      ways: ways.filter((way) => config.guards.includes(way)),
    }),
});

export const verifiersPlugins: readonly PluginDefinition[] = [bindirPlugin];
