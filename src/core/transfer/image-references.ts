import type { Descriptor } from "../../lib/descriptor.ts";
import { notFound } from "../../lib/faults.ts";
import { Instant } from "../../lib/instant.ts";
import { imageNameAnnotation, refNameAnnotation } from "../oci/index.ts";
import type { ExtraReference, StoreEndpoint } from "./transfer.ts";

/** A name that an image gets, with its labels. */
export interface NamedImage {
  readonly name: string;
  readonly labels: ReadonlyMap<string, string>;
}

/**
 * The names under which something is stored.
 * Shape: `fromArchive` is for one image of an archive, which its own annotations name; else the endpoint's name counts.
 * Errors: notFound when there is none.
 * Source: containerd core/transfer/image/imagestore.go, Store.
 */
export function imageNames(
  store: StoreEndpoint,
  descriptor: Descriptor,
  fromArchive: boolean,
  now: Instant,
): readonly NamedImage[] {
  const extraLabels = extraReferenceLabels(store, now);
  const named = (name: string): NamedImage => ({ name, labels: extraLabels });
  const found = fromArchive
    ? store.extraReferences.flatMap((reference) => archivedNames(reference, descriptor).map(named))
    : [
        ...(store.name === "" ? [] : [{ name: store.name, labels: store.labels }]),
        ...store.extraReferences.flatMap((reference) => givenNames(reference, descriptor).map(named)),
      ];
  if (found.length === 0) throw notFound("no image name found");
  return found;
}

/** Further names go with the image that they belong to, where it has one. */
function extraReferenceLabels(store: StoreEndpoint, now: Instant): ReadonlyMap<string, string> {
  if (store.name === "") return store.labels;
  return new Map([
    ...store.labels,
    ["containerd.io/gc.bref.image", store.name],
    ["containerd.io/gc.expire", Instant.ofMs(now.seconds * 1000).toString()],
  ]);
}

function archivedNames(reference: ExtraReference, descriptor: Descriptor): string[] {
  if (!reference.isPrefix) return [];
  const digested = `${reference.name}@${descriptor.digest}`;
  const name = annotatedName(descriptor, reference);
  if (name === "") return reference.addDigest ? [digested] : [];
  return reference.addDigest && !reference.skipNamedDigest ? [name, digested] : [name];
}

function givenNames({ name, isPrefix, addDigest }: ExtraReference, descriptor: Descriptor): string[] {
  if (isPrefix && !addDigest) return [];
  return [addDigest ? `${name}@${descriptor.digest}` : name];
}

/** The name that an image brings along, as far as it suits the prefix; empty when none does. */
function annotatedName({ annotations }: Descriptor, reference: ExtraReference): string {
  const full = annotations?.get(imageNameAnnotation) ?? "";
  // A full name counts whole or not at all.
  if (full !== "") return translated(full, reference) === full ? full : "";
  const tag = annotations?.get(refNameAnnotation) ?? "";
  return tag === "" ? "" : translated(tag, reference);
}

/** Source: containerd core/images/archive/reference.go, refTranslator. */
function translated(name: string, { name: prefix, allowOverwrite }: ExtraReference): string {
  if (prefix === "") return "";
  if (!/[/:@]/.test(name)) return `${prefix}:${name}`;
  return allowOverwrite || hasPrefix(name, prefix) ? name : "";
}

function hasPrefix(name: string, prefix: string): boolean {
  return name.startsWith(prefix) && (name.length === prefix.length || /[/:@]/.test(name[prefix.length] as string));
}
