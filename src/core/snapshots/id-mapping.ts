import { invalidArgument } from "../../lib/faults.ts";
import type { Owner } from "./store.ts";

const uidLabel = "containerd.io/snapshot/uidmapping";
const gidLabel = "containerd.io/snapshot/gidmapping";

/**
 * Who is root in the user namespace that a snapshot's labels describe; undefined when they describe none.
 * Shape: `container:host:size` triples, joined by commas.
 * Errors: invalidArgument (malformed, or no one is mapped to root). Source: containerd internal/userns/idmap.go.
 */
export function mappedRoot(labels: ReadonlyMap<string, string>): Owner | undefined {
  const [uids, gids] = [labels.get(uidLabel), labels.get(gidLabel)];
  if (uids === undefined && gids === undefined) return undefined;
  return { uid: rootOf(uids ?? ""), gid: rootOf(gids ?? "") };
}

/** The mappings as mount options. */
export function mapOptions(labels: ReadonlyMap<string, string>): readonly string[] {
  const [uids, gids] = [labels.get(uidLabel), labels.get(gidLabel)];
  return [...(uids === undefined ? [] : [`uidmap=${uids}`]), ...(gids === undefined ? [] : [`gidmap=${gids}`])];
}

function rootOf(mapping: string): number {
  for (const part of mapping.split(",")) {
    const match = /^([0-9]{1,10}):([0-9]{1,10}):([0-9]{1,10})$/.exec(part);
    if (match === null) throw invalidArgument("failed to unmarshal snapshot ID mapped labels");
    if (Number(match[1]) === 0 && Number(match[3]) > 0) return Number(match[2]);
  }
  throw invalidArgument("failed to find root pair");
}
