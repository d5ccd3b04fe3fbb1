import { absentField, type FieldAdaptor, mapField, nonEmptyField } from "../../lib/filters.ts";
import type { ContentInfo } from "./content.ts";

/** What filters ask of content. Source: containerd core/content/adaptor.go. */
export function contentFields(info: ContentInfo): FieldAdaptor {
  return ([first, ...rest]) => {
    if (first === "digest") return nonEmptyField(info.digest);
    return first === "labels" ? mapField(rest, info.labels) : absentField;
  };
}

/** What filters ask of unfinished content. */
export function ingestFields(ref: string): FieldAdaptor {
  return ([name]) => (name === "ref" ? nonEmptyField(ref) : absentField);
}
