import { digestProblem } from "../../lib/digest.ts";
import { FaultError, fault, invalidArgument } from "../../lib/faults.ts";
import type { ResourceNode } from "../gc/index.ts";
import type { LeaseResource } from "./leases.ts";

/**
 * Checks a resource that a client names.
 * Errors: invalidArgument (id or type malformed), notImplemented (unknown type), with containerd's texts.
 * Source: containerd core/metadata/leases.go, parseLeaseResource.
 */
export function checkResource({ type, id }: LeaseResource): void {
  const parts = type.split("/");
  switch (parts[0]) {
    case "content":
    case "ingests":
    case "images":
      if (parts.length !== 1) throw invalidArgument(`invalid resource type ${type}`);
      break;
    case "snapshots":
      if (parts.length !== 2) throw invalidArgument(`invalid snapshot resource type ${type}`);
      break;
    default:
      throw fault("notImplemented", `resource type ${type} not supported yet`);
  }
  // What bolt says of a bucket and of a key without a name.
  if (parts.includes("")) throw new FaultError("unknown", "bucket name required");
  if (type !== "content" && id === "") throw new FaultError("unknown", "key required");
  if (type !== "content") return;
  const problem = digestProblem(id);
  if (problem !== undefined) throw invalidArgument(`invalid content resource id ${id}: ${problem}`);
}

/** A resource as garbage collection names it. */
export function nodeOf(namespace: string, { type, id }: LeaseResource): ResourceNode {
  if (type.startsWith("snapshots/"))
    return { kind: "snapshot", namespace, key: `${type.slice("snapshots/".length)}/${id}` };
  return { kind: kindOfType[type] ?? type, namespace, key: id };
}

const kindOfType: Readonly<Record<string, string>> = { ingests: "ingest", images: "image" };
