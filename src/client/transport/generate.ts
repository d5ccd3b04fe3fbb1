import type { DescField, DescFile, DescMessage, DescMethod, DescService } from "@bufbuild/protobuf";
import { ScalarType } from "@bufbuild/protobuf";
import { file_containerd_events_container } from "../../gen/containerd/events/container_pb.ts";
import { file_containerd_events_content } from "../../gen/containerd/events/content_pb.ts";
import { file_containerd_events_namespace } from "../../gen/containerd/events/namespace_pb.ts";
import { file_containerd_events_sandbox } from "../../gen/containerd/events/sandbox_pb.ts";
import { file_containerd_events_snapshot } from "../../gen/containerd/events/snapshot_pb.ts";
import { file_containerd_events_task } from "../../gen/containerd/events/task_pb.ts";
import { file_containerd_runc_v1_oci } from "../../gen/containerd/runc/v1/oci_pb.ts";
import { Containers } from "../../gen/containerd/services/containers/v1/containers_pb.ts";
import { Content } from "../../gen/containerd/services/content/v1/content_pb.ts";
import { Diff } from "../../gen/containerd/services/diff/v1/diff_pb.ts";
import { Events } from "../../gen/containerd/services/events/v1/events_pb.ts";
import { file_containerd_services_images_v1_image } from "../../gen/containerd/services/images/v1/image_pb.ts";
import { Images } from "../../gen/containerd/services/images/v1/images_pb.ts";
import { Introspection } from "../../gen/containerd/services/introspection/v1/introspection_pb.ts";
import { Leases } from "../../gen/containerd/services/leases/v1/leases_pb.ts";
import { Namespaces } from "../../gen/containerd/services/namespaces/v1/namespace_pb.ts";
import { Snapshots } from "../../gen/containerd/services/snapshots/v1/snapshots_pb.ts";
import {
  file_containerd_services_streaming_v1_streaming,
  Streaming,
} from "../../gen/containerd/services/streaming/v1/streaming_pb.ts";
import { Tasks } from "../../gen/containerd/services/tasks/v1/tasks_pb.ts";
import { Transfer } from "../../gen/containerd/services/transfer/v1/transfer_pb.ts";
import { Version } from "../../gen/containerd/services/version/v1/version_pb.ts";
import { file_containerd_types_transfer_container } from "../../gen/containerd/types/transfer/container_pb.ts";
import { file_containerd_types_transfer_imagestore } from "../../gen/containerd/types/transfer/imagestore_pb.ts";
import { file_containerd_types_transfer_progress } from "../../gen/containerd/types/transfer/progress_pb.ts";
import { file_containerd_types_transfer_registry } from "../../gen/containerd/types/transfer/registry_pb.ts";
import { file_containerd_types_transfer_streaming } from "../../gen/containerd/types/transfer/streaming_pb.ts";
import { file_io_containerd_cgroups_v1_metrics } from "../../gen/io/containerd/cgroups/v1/metrics_pb.ts";
import { file_io_containerd_cgroups_v2_metrics } from "../../gen/io/containerd/cgroups/v2/metrics_pb.ts";
import { Checkpoints } from "../../gen/lighter/checkpoints/v1/checkpoints_pb.ts";
import { Debug } from "../../gen/lighter/debug/v1/debug_pb.ts";
import { History } from "../../gen/lighter/events/v1/history_pb.ts";
import { ContainerHealth, file_lighter_health_v1_health } from "../../gen/lighter/health/v1/health_pb.ts";
import { Layers } from "../../gen/lighter/layers/v1/layers_pb.ts";
import { Registries } from "../../gen/lighter/registries/v1/registries_pb.ts";
import { System } from "../../gen/lighter/system/v1/system_pb.ts";

/** The services that the client calls. */
const services: readonly DescService[] = [
  Checkpoints,
  ContainerHealth,
  Containers,
  Content,
  Debug,
  Diff,
  Events,
  History,
  Images,
  Introspection,
  Layers,
  Leases,
  Namespaces,
  Snapshots,
  Streaming,
  Registries,
  System,
  Tasks,
  Transfer,
  Version,
];

/** Files whose messages travel inside an Any. */
const files: readonly DescFile[] = [
  file_containerd_events_container,
  file_containerd_events_content,
  file_containerd_events_namespace,
  file_containerd_events_sandbox,
  file_containerd_events_snapshot,
  file_containerd_events_task,
  file_containerd_runc_v1_oci,
  file_containerd_services_images_v1_image,
  file_containerd_services_streaming_v1_streaming,
  file_containerd_types_transfer_container,
  file_containerd_types_transfer_imagestore,
  file_containerd_types_transfer_progress,
  file_containerd_types_transfer_registry,
  file_containerd_types_transfer_streaming,
  file_io_containerd_cgroups_v1_metrics,
  file_io_containerd_cgroups_v2_metrics,
  file_lighter_health_v1_health,
];

const scalarLetter: Partial<Record<ScalarType, string>> = {
  [ScalarType.STRING]: "s",
  [ScalarType.BYTES]: "b",
  [ScalarType.BOOL]: "o",
  [ScalarType.INT32]: "i",
  [ScalarType.UINT32]: "u",
  [ScalarType.INT64]: "I",
  [ScalarType.UINT64]: "U",
  [ScalarType.DOUBLE]: "d",
};

/**
 * The text of tables.ts, made from the generated descriptors.
 * Effects: none; `bun src/client/transport/generate.ts` writes the file.
 */
export function tablesSource(): string {
  const messages = new Map<string, string>();
  const add = (message: DescMessage): void => {
    if (messages.has(message.typeName)) return;
    messages.set(message.typeName, "");
    messages.set(message.typeName, message.fields.map((field) => fieldText(field)).join(" "));
    for (const field of message.fields) {
      const inner = field.message;
      if (inner !== undefined) add(inner);
    }
  };
  for (const file of files) for (const message of file.messages) add(message);
  for (const service of services) {
    for (const method of service.methods) {
      add(method.input);
      add(method.output);
    }
  }
  return [
    "// Made by generate.ts from src/gen; not edited by hand. tables.test.ts tells when it is out of date.",
    "",
    "/** Every message that the client sends or reads: its fields as `name:number:kind[:type]`, `*` before a repeated kind. */",
    "export const messageTable: Readonly<Record<string, string>> = {",
    ...[...messages].sort(([a], [b]) => (a < b ? -1 : 1)).map(([name, text]) => `  ${quoted(name)}: ${quoted(text)},`),
    "};",
    "",
    "/** Every method that the client calls: local name, then `Name kind request response`. */",
    "export const serviceTable: Readonly<Record<string, Readonly<Record<string, string>>>> = {",
    ...services.flatMap((service) => [
      `  ${quoted(service.typeName)}: {`,
      ...service.methods.map((method) => `    ${method.localName}: ${quoted(methodText(method))},`),
      "  },",
    ]),
    "};",
    "",
  ].join("\n");
}

function fieldText(field: DescField): string {
  const head = `${field.localName}:${field.number}`;
  if (field.oneof !== undefined) throw new Error(`${field.toString()}: a oneof needs support in codec.ts`);
  switch (field.fieldKind) {
    case "scalar":
      return `${head}:${letterOf(field.scalar)}`;
    case "enum":
      return `${head}:i`;
    case "message":
      return `${head}:m:${field.message.typeName}`;
    case "list":
      if (field.listKind === "message") return `${head}:*m:${field.message.typeName}`;
      return `${head}:*${field.listKind === "enum" ? "i" : letterOf(field.scalar)}`;
    default: {
      if (field.mapKey !== ScalarType.STRING) throw new Error(`${field.toString()}: only string keys are supported`);
      if (field.mapKind === "message") return `${head}:{m:${field.message.typeName}`;
      return `${head}:{${field.mapKind === "enum" ? "i" : letterOf(field.scalar)}`;
    }
  }
}

function letterOf(scalar: ScalarType): string {
  const letter = scalarLetter[scalar];
  if (letter === undefined) throw new Error(`scalar type ${scalar} needs support in codec.ts`);
  return letter;
}

function methodText(method: DescMethod): string {
  const kinds = { unary: "u", server_streaming: "s", client_streaming: "c", bidi_streaming: "b" } as const;
  return `${method.name} ${kinds[method.methodKind]} ${method.input.typeName} ${method.output.typeName}`;
}

function quoted(text: string): string {
  return JSON.stringify(text);
}

if (import.meta.main) await Bun.write(new URL("tables.ts", import.meta.url).pathname, tablesSource());
