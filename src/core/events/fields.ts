import { createRegistry, type DescField, type DescMessage, fromBinary, type Registry } from "@bufbuild/protobuf";
import { type ReflectMap, type ReflectMessage, reflect } from "@bufbuild/protobuf/reflect";
import { type Any, AnySchema } from "@bufbuild/protobuf/wkt";
import { file_containerd_events_container } from "../../gen/containerd/events/container_pb.ts";
import { file_containerd_events_content } from "../../gen/containerd/events/content_pb.ts";
import { file_containerd_events_namespace } from "../../gen/containerd/events/namespace_pb.ts";
import { file_containerd_events_sandbox } from "../../gen/containerd/events/sandbox_pb.ts";
import { file_containerd_events_snapshot } from "../../gen/containerd/events/snapshot_pb.ts";
import { file_containerd_events_task } from "../../gen/containerd/events/task_pb.ts";
import { file_containerd_services_images_v1_image } from "../../gen/containerd/services/images/v1/image_pb.ts";
import type { Envelope } from "../../gen/containerd/types/event_pb.ts";
import { absentField, type FieldAdaptor, type FieldValue, nonEmptyField } from "../../lib/filters.ts";

let registry: Registry | undefined;

/**
 * Every event that containerd knows. Others are passed on, and filters see no field in them.
 * Shape: made when the first filter asks, since it makes all of their descriptors.
 */
function knownEvents(): Registry {
  registry ??= createRegistry(
    file_containerd_events_container,
    file_containerd_events_content,
    file_containerd_events_namespace,
    file_containerd_events_sandbox,
    file_containerd_events_snapshot,
    file_containerd_events_task,
    file_containerd_services_images_v1_image,
  );
  return registry;
}

/** Anys in Anys: deeper than this nobody goes but to do harm. */
const maxDepth = 8;

/**
 * An envelope as filters see it: `topic`, `namespace` and `event.<field>`, the fields by their protobuf names.
 * Shape: text, numbers and booleans have values; labels are reached by `event.labels.KEY`; messages and Anys are walked into.
 * The event is decoded once, and only when a filter asks.
 * Source: containerd core/events/events.go, api/events/*_fieldpath.pb.go (numbers are ours).
 */
export function envelopeFields(envelope: Envelope): FieldAdaptor {
  let decoded: ReflectMessage | undefined | "not yet" = "not yet";
  return ([first, ...rest]) => {
    switch (first) {
      case "namespace":
        return nonEmptyField(envelope.namespace);
      case "topic":
        return nonEmptyField(envelope.topic);
      case "event":
        if (decoded === "not yet") decoded = decode(envelope.event);
        return decoded === undefined ? absentField : fieldOf(decoded, rest, 0);
      default:
        return absentField;
    }
  };
}

function decode(any: Any | undefined): ReflectMessage | undefined {
  if (any === undefined) return undefined;
  const desc = knownEvents().getMessage(any.typeUrl.slice(any.typeUrl.lastIndexOf("/") + 1));
  if (desc === undefined) return undefined;
  try {
    return reflect(desc, fromBinary(desc, any.value));
  } catch {
    // Bytes that are not what their type says: containerd then sees no fields either.
    return undefined;
  }
}

function fieldOf(message: ReflectMessage, [name, ...rest]: readonly string[], depth: number): FieldValue {
  const field = message.fields.find((candidate) => candidate.name === name);
  if (field === undefined || depth > maxDepth) return absentField;
  if (field.fieldKind === "map") return mapValue(message.get(field) as ReflectMap, field, rest);
  if (field.fieldKind === "message") {
    return message.isSet(field) ? inner(message.get(field), field.message, rest, depth) : absentField;
  }
  return field.fieldKind === "scalar" ? scalarValue(message.get(field)) : absentField;
}

function inner(value: ReflectMessage, desc: DescMessage, rest: readonly string[], depth: number): FieldValue {
  if (desc.typeName !== AnySchema.typeName) return fieldOf(value, rest, depth + 1);
  const decoded = decode(value.message as Any);
  return decoded === undefined ? absentField : fieldOf(decoded, rest, depth + 1);
}

function mapValue(map: ReflectMap, field: DescField & { fieldKind: "map" }, rest: readonly string[]): FieldValue {
  const value = field.mapKind === "scalar" ? map.get(rest.join(".")) : undefined;
  return typeof value === "string" ? { value, present: true } : absentField;
}

function scalarValue(value: unknown): FieldValue {
  if (typeof value === "string") return nonEmptyField(value);
  if (typeof value === "boolean" || typeof value === "number" || typeof value === "bigint") {
    return { value: String(value), present: true };
  }
  return absentField;
}
