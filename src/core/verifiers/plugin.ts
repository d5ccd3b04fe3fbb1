import { definePlugin, duration, integer, type PluginDefinition, table, text, texts } from "../../plugin/index.ts";
import { IMAGE_VERIFIER } from "../tokens.ts";
import { createBindirVerifier } from "./index.ts";
import type { ImageVerifier, WayIn } from "./verifiers.ts";

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
  live: ["bin_dir", "max_verifiers", "per_verifier_timeout", "guards"],
  init: (_given, { config, onReload }) => {
    const make = (now: typeof config): ImageVerifier =>
      createBindirVerifier({
        binDir: now.bin_dir,
        maxVerifiers: now.max_verifiers,
        timeoutMs: now.per_verifier_timeout,
        ways: ways.filter((way) => now.guards.includes(way)),
      });
    let verifier = make(config);
    onReload((next) => () => {
      verifier = make(next);
    });
    return {
      judges: (way) => verifier.judges(way),
      verify: (ctx, name, descriptor) => verifier.verify(ctx, name, descriptor),
    };
  },
});

export const verifiersPlugins: readonly PluginDefinition[] = [bindirPlugin];
