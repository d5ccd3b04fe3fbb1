import type { Any } from "@bufbuild/protobuf/wkt";
import type { Ctx } from "../../lib/ctx.ts";
import type { PluginRecord } from "../../plugin/index.ts";
import type { DeprecationWarning } from "../warnings/index.ts";

export interface ServerInfo {
  /** Random, made at the first ask and kept on disk. */
  readonly uuid: string;
  readonly pid: number;
  /** The inode of the daemon's pid namespace. */
  readonly pidNamespace: bigint;
}

export interface PluginInfo {
  readonly plugin: PluginRecord;
  readonly extra: Any | undefined;
}

/** A plugin that has more to say of itself; its instance has this method. */
export interface InfoProvider {
  /** Errors: invalidArgument (options it does not take), and whatever it fails with. */
  pluginInfo(ctx: Ctx, options: Any): Promise<Any>;
}

/** What the daemon says of itself and its plugins. */
export interface Introspection {
  /** In the order in which they started. Errors: invalidArgument (a filter that doesn't parse). */
  plugins(filters: readonly string[]): readonly PluginRecord[];
  server(): Promise<ServerInfo>;
  /** What was met since the start that is deprecated. */
  deprecations(): readonly DeprecationWarning[];
  /**
   * Errors: notFound (no such plugin); with options: failedPrecondition (it did not start), notImplemented (it has no
   * more to say).
   */
  pluginInfo(ctx: Ctx, type: string, id: string, options: Any | undefined): Promise<PluginInfo>;
}
