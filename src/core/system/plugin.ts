import { definePlugin, type PluginDefinition } from "../../plugin/index.ts";
import { onlyContent } from "../content/index.ts";
import { CONTENT, gcToken, LIGHTER_GRPC, SNAPSHOT, transferToken } from "../tokens.ts";
import { type Checkable, createSystemService } from "./index.ts";

/** lighter.system.v1.System over the daemon's own stores. */
export const systemPlugin: PluginDefinition = definePlugin({
  type: LIGHTER_GRPC,
  id: "system",
  requires: { gc: gcToken, stores: CONTENT, snapshotters: SNAPSHOT, unpacker: transferToken },
  init: ({ gc, stores: contents, snapshotters, unpacker }, { daemon: { upgrades } }) => {
    const all: readonly object[] = [onlyContent(contents), ...snapshotters.values()];
    const stores = all.filter(isCheckable);
    return { grpc: [createSystemService({ gc, stores, snapshotters: [...snapshotters.keys()], unpacker, upgrades })] };
  },
});

/** A store of another process tells nothing of its files. */
function isCheckable(store: object): store is Checkable {
  return "check" in store;
}
