import type { Container } from "../../gen/containerd/services/containers/v1/containers_pb.ts";
import { absentField, type FieldAdaptor, nonEmptyField, recordField } from "../../lib/filters.ts";

/** A container as filters see it. Source: containerd core/metadata/adaptors.go. */
export function containerFields(container: Container): FieldAdaptor {
  return ([first, ...rest]) => {
    switch (first) {
      case "id":
        return nonEmptyField(container.id);
      case "runtime":
        return rest[0] === "name" ? nonEmptyField(container.runtime?.name ?? "") : absentField;
      case "image":
        return nonEmptyField(container.image);
      case "labels":
        return recordField(rest, container.labels);
      default:
        return absentField;
    }
  };
}
