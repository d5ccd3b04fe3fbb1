import fs from "node:fs/promises";
import path from "node:path";
import { type ContentStore, contentSchema, openContentStore } from "../../src/core/content/index.ts";
import { createExchange } from "../../src/core/events/index.ts";
import { createLeaseManager, leasesSchema } from "../../src/core/leases/index.ts";
import { openMetadata } from "../../src/core/metadata/index.ts";
import { createNamespaceStore, namespacesSchema } from "../../src/core/namespaces/index.ts";
import { silentLogger } from "../../src/lib/log.ts";

/** A content store of a test's own; opening the folder again is what a daemon's restart is to it. */
export async function openTestContent(folder: string): Promise<AsyncDisposable & { readonly store: ContentStore }> {
  await fs.mkdir(folder, { recursive: true });
  const metadata = openMetadata({
    path: path.join(folder, "meta.db"),
    schemas: [namespacesSchema, leasesSchema, contentSchema],
  });
  const exchange = createExchange({ log: silentLogger });
  const namespaces = createNamespaceStore({ metadata, exchange });
  const leases = createLeaseManager({ metadata });
  const root = path.join(folder, "content");
  const store = await openContentStore({ root, metadata, exchange, leases, namespaces, log: silentLogger });
  return {
    store,
    [Symbol.asyncDispose]: async () => {
      await store[Symbol.asyncDispose]();
      await metadata[Symbol.asyncDispose]();
    },
  };
}
