import type { Client } from "../client/client.ts";
import { namespaceDefaults } from "../client/containers/create.ts";
import type { Candidate } from "./candidates.ts";
import type { WordKind } from "./command.ts";
import { formatBytes } from "./units.ts";

type StoreKind = Extract<WordKind, "content" | "ingest" | "snapshot" | "lease">;

export function isStoreKind(kind: WordKind): kind is StoreKind {
  return kind === "content" || kind === "ingest" || kind === "snapshot" || kind === "lease";
}

/** Names of what the stores hold; none without a daemon. */
export async function storeWords(client: Client, kind: StoreKind, timeoutMs: number): Promise<readonly Candidate[]> {
  try {
    return await wordsOf(client, kind, timeoutMs);
  } catch {
    // Without a daemon there is nothing to offer.
    return [];
  }
}

async function wordsOf(client: Client, kind: StoreKind, timeoutMs: number): Promise<Candidate[]> {
  const found: Candidate[] = [];
  switch (kind) {
    case "content":
      for await (const { info } of client.content.list({}, { timeoutMs }))
        found.push(...info.map(({ digest, size }) => ({ word: digest, note: formatBytes(Number(size)) })));
      return found;
    case "ingest":
      return (await client.content.listStatuses({}, { timeoutMs })).statuses.map(({ ref }) => ({
        word: ref,
        note: "",
      }));
    case "lease":
      return (await client.leases.list({}, { timeoutMs })).leases.map(({ id }) => ({ word: id, note: "" }));
    case "snapshot": {
      const { snapshotter } = await namespaceDefaults(client);
      for await (const { info } of client.snapshots.list({ snapshotter }, { timeoutMs }))
        found.push(...info.map(({ name }) => ({ word: name, note: "" })));
      return found;
    }
  }
}

/** The snapshotters that work. */
export async function snapshotterWords(client: Client, timeoutMs: number): Promise<readonly Candidate[]> {
  try {
    const { plugins } = await client.introspection.plugins(
      { filters: ["type==io.containerd.snapshotter.v1"] },
      { timeoutMs },
    );
    return plugins.filter(({ initErr }) => initErr === undefined).map(({ id }) => ({ word: id, note: "" }));
  } catch {
    // Without a daemon there is nothing to offer.
    return [];
  }
}
