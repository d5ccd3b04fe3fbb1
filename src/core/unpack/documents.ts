import type { Ctx } from "../../lib/ctx.ts";
import type { Descriptor } from "../../lib/descriptor.ts";
import { type Digest, digestProblem } from "../../lib/digest.ts";
import { invalidArgument, quote } from "../../lib/faults.ts";
import type { Platform } from "../../lib/platforms.ts";
import type { ContentStore } from "../content/index.ts";
import { configPlatform, isObject, maxDocumentBytes, parseObject } from "../oci/index.ts";

/** What an image's config says of how it is unpacked. */
export interface UnpackConfig {
  readonly platform: Platform;
  readonly diffIds: readonly Digest[];
  /** True when the diff ids are those of layers, as far as is said. */
  readonly isLayered: boolean;
}

/** Reads a config from the content store. Errors: notFound, invalidArgument. */
export async function readConfig(ctx: Ctx, content: ContentStore, config: Descriptor): Promise<UnpackConfig> {
  const { sizeBytes } = content.info(ctx, config.digest);
  if (sizeBytes > maxDocumentBytes) throw invalidArgument(`config ${config.digest} of ${sizeBytes} bytes is too large`);
  const parts: Uint8Array[] = [];
  for await (const piece of content.read(ctx, config.digest)) parts.push(piece.slice());
  const document = parseObject(Buffer.concat(parts), `unmarshal image config: ${config.digest}`);
  const rootfs = isObject(document["rootfs"]) ? document["rootfs"] : {};
  const diffIds = Array.isArray(rootfs["diff_ids"]) ? rootfs["diff_ids"] : [];
  const type = rootfs["type"] ?? "";
  return {
    platform: configPlatform(document),
    diffIds: diffIds.map(checkDiffId),
    isLayered: type === "" || type === "layers",
  };
}

function checkDiffId(value: unknown): Digest {
  if (typeof value === "string" && digestProblem(value) === undefined) return value as Digest;
  throw invalidArgument(`diff id ${quote(String(value))} is malformed`);
}
