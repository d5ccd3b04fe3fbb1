import { type Descriptor, parseDescriptor } from "../../../lib/descriptor.ts";
import { FaultError, fault, messageOf } from "../../../lib/faults.ts";

/** Reads the list of what refers to a manifest. Errors: dataLoss, invalidArgument; each names the place. */
export function parseReferrers(bytes: Uint8Array, place: string): readonly Descriptor[] {
  let document: { manifests?: unknown } | null;
  try {
    document = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw new FaultError("dataLoss", `${place}: failed to decode referrers index: ${messageOf(error)}`, {
      cause: error,
    });
  }
  const manifests = document?.manifests ?? [];
  if (!Array.isArray(manifests))
    throw fault("dataLoss", `${place}: failed to decode referrers index: no list of manifests`);
  return manifests.map((one: unknown, at) => parseDescriptor(one, `${place}: referrers index: manifests[${at}]`));
}
