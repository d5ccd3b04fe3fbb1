import { createRegistry, type DescMessage, fromBinary } from "@bufbuild/protobuf";
import { type Any, AnySchema, type Timestamp, TimestampSchema } from "@bufbuild/protobuf/wkt";
import { file_containerd_events_container } from "../../src/gen/containerd/events/container_pb.ts";
import { file_containerd_events_content } from "../../src/gen/containerd/events/content_pb.ts";
import { file_containerd_events_namespace } from "../../src/gen/containerd/events/namespace_pb.ts";
import { file_containerd_events_sandbox } from "../../src/gen/containerd/events/sandbox_pb.ts";
import { file_containerd_events_snapshot } from "../../src/gen/containerd/events/snapshot_pb.ts";
import { file_containerd_events_task } from "../../src/gen/containerd/events/task_pb.ts";
import { file_containerd_runc_v1_oci } from "../../src/gen/containerd/runc/v1/oci_pb.ts";
import { file_containerd_services_images_v1_image } from "../../src/gen/containerd/services/images/v1/image_pb.ts";
import type { StepOptions } from "./script.ts";

/** What of an answer is the machine's, the daemon's or the moment's, and what stands for it. */
export interface Places {
  /** Text that one daemon alone says, and its placeholder; the longest first. */
  readonly replaced: readonly (readonly [text: string, placeholder: string])[];
}

const known = createRegistry(
  file_containerd_events_container,
  file_containerd_events_content,
  file_containerd_events_namespace,
  file_containerd_events_sandbox,
  file_containerd_events_snapshot,
  file_containerd_events_task,
  file_containerd_services_images_v1_image,
  file_containerd_runc_v1_oci,
);

/** Go's time.Time{}, which 1.6 puts on the wire where nothing was ever set, and 2.x leaves out. */
const goZeroSeconds = -62_135_596_800n;

/** Fields that hold the machine's own numbers. */
const numbered = new Set(["pid", "pidns", "uuid"]);

/** A message as plain values: every field with a value, keys sorted, what changes from run to run as placeholders. */
export function plainMessage(message: unknown, options: StepOptions): unknown {
  return plainValue("", message, options);
}

/** Puts placeholders for what only one daemon says. */
export function withPlaceholders(text: string, places: Places): string {
  return places.replaced.reduce((changed, [from, to]) => changed.replaceAll(from, to), text);
}

function plainValue(key: string, value: unknown, options: StepOptions): unknown {
  if (isSet(value) && numbered.has(key)) return `<${key}>`;
  if (isSet(value) && options.vague?.includes(key) === true) return `<${key}>`;
  if (typeof value === "bigint") return value.toString();
  if (typeof value === "string") return shortened(value, Buffer.from(value));
  if (value instanceof Uint8Array) return plainBytes(value);
  if (Array.isArray(value)) return plainList(key, value, options);
  if (value === null || typeof value !== "object") return value;
  if (isMessage(value, TimestampSchema)) return plainTime(key, value as Timestamp);
  if (isMessage(value, AnySchema)) return plainAny(value as Any, options);
  const fields = Object.entries(value).filter(([name, inner]) => name !== "$typeName" && inner !== undefined);
  const plain = fields.map(([name, inner]) => [name, plainValue(name, inner, options)] as const);
  return Object.fromEntries(plain.filter(([, inner]) => inner !== undefined).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

const isSet = (value: unknown): boolean => value !== undefined && value !== "" && value !== 0 && value !== 0n;

function isMessage(value: object, schema: DescMessage): boolean {
  return "$typeName" in value && value.$typeName === schema.typeName;
}

function plainList(key: string, values: readonly unknown[], options: StepOptions): unknown {
  const plain = values.map((value) => plainValue("", value, options));
  if (options.unordered?.includes(key) !== true) return plain;
  return plain.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
}

/** The end of a process that has none is told as Go's zero by 2.x as well, and its clients know it by that. */
function plainTime(key: string, time: Timestamp): unknown {
  if (time.seconds !== goZeroSeconds) return "<time>";
  return key === "exitedAt" ? "<no time>" : undefined;
}

/** An Any by what it holds: a message that is known, JSON, or bytes. */
function plainAny(any: Any, options: StepOptions): unknown {
  const schema = known.getMessage(any.typeUrl.split("/").at(-1) ?? "");
  if (schema === undefined) return { "@type": any.typeUrl, value: plainBytes(any.value) };
  return { "@type": any.typeUrl, value: plainValue("", fromBinary(schema, any.value), options) };
}

/** Text where it is text, with long stretches cut. */
function plainBytes(bytes: Uint8Array): string {
  const buffer = Buffer.from(bytes);
  const text = buffer.toString("utf8");
  const shown = Buffer.from(text).equals(buffer) ? text : `base64 ${buffer.toString("base64")}`;
  return shortened(shown, bytes);
}

function shortened(shown: string, bytes: Uint8Array): string {
  if (shown.length <= 400) return shown;
  const digest = new Bun.CryptoHasher("sha256").update(bytes).digest("hex").slice(0, 16);
  return `${shown.slice(0, 80)}… ${bytes.length} bytes ${digest}`;
}
