import type { Image } from "../../gen/containerd/services/images/v1/images_pb.ts";
import { absentField, type FieldAdaptor, nonEmptyField, recordField } from "../../lib/filters.ts";

/** An image as filters see it. Source: containerd core/metadata/adaptors.go. */
export function imageFields(image: Image): FieldAdaptor {
  return ([first, ...rest]) => {
    switch (first) {
      case "name":
        return nonEmptyField(image.name);
      case "target":
        if (rest[0] === "digest") return nonEmptyField(image.target?.digest ?? "");
        return rest[0] === "mediatype" ? nonEmptyField(image.target?.mediaType ?? "") : absentField;
      case "labels":
        return recordField(rest, image.labels);
      case "annotations":
        return recordField(rest, image.target?.annotations ?? {});
      default:
        return absentField;
    }
  };
}
