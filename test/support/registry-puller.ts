// Downloads one blob into a content store, as a daemon would that may be killed at any moment.
// Arguments: the store's folder, a reference, the blob's digest and size.

import { createResolver } from "../../src/core/remotes/index.ts";
import { createCtx } from "../../src/lib/ctx.ts";
import type { Digest } from "../../src/lib/digest.ts";
import { openTestContent } from "./registry-content.ts";

const [folder = "", ref = "", digest = "", size = ""] = process.argv.slice(2);
const ctx = createCtx({ namespace: "pulling" });
await using content = await openTestContent(folder);
const fetcher = await createResolver().fetcher(ctx, ref);
const descriptor = {
  mediaType: "application/vnd.oci.image.layer.v1.tar",
  digest: digest as Digest,
  sizeBytes: Number(size),
};
await fetcher.fetchInto(ctx, descriptor, content.store, {
  onOpen: (offset) => console.log(`open ${offset}`),
  onProgress: (offset) => console.log(`at ${offset}`),
});
console.log("done");
