import { create, type DescMessage, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { type Any, AnySchema } from "@bufbuild/protobuf/wkt";
import { fault, invalidArgument, messageOf, quote } from "../lib/faults.ts";

/** Type urls under which OCI documents travel as JSON. Source: containerd client/client.go init, core/runtime/typeurl.go. */
export const ociTypeUrls = {
  spec: "types.containerd.io/opencontainers/runtime-spec/1/Spec",
  process: "types.containerd.io/opencontainers/runtime-spec/1/Process",
  linuxResources: "types.containerd.io/opencontainers/runtime-spec/1/LinuxResources",
  windowsResources: "types.containerd.io/opencontainers/runtime-spec/1/WindowsResources",
  features: "types.containerd.io/opencontainers/runtime-spec/1/features/Features",
} as const;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/** Wraps a message under its bare full name, as containerd's typeurl does (no type.googleapis.com/ before it). */
export function anyOf<D extends DescMessage>(schema: D, message: MessageShape<D>): Any {
  return create(AnySchema, { typeUrl: schema.typeName, value: toBinary(schema, message) });
}

/** Wraps a JSON document (an OCI type) under the given type url. */
export function anyOfJson(typeUrl: string, value: unknown): Any {
  return create(AnySchema, { typeUrl, value: encoder.encode(JSON.stringify(value)) });
}

/** True when the Any carries a message of that type, with or without a host before its name. */
export function anyIs(any: Any | undefined, schema: DescMessage): boolean {
  return any !== undefined && (any.typeUrl === schema.typeName || any.typeUrl.endsWith(`/${schema.typeName}`));
}

/** Opens an Any that must carry a message of that type. Errors: invalidArgument (another type, or bytes that don't parse). */
export function anyTo<D extends DescMessage>(any: Any, schema: D): MessageShape<D> {
  if (!anyIs(any, schema)) throw invalidArgument(`expected ${quote(schema.typeName)}, got ${quote(any.typeUrl)}`);
  try {
    return fromBinary(schema, any.value);
  } catch (error) {
    throw fault("invalidArgument", `decode ${quote(any.typeUrl)}: ${messageOf(error)}`, { cause: error });
  }
}

/** Opens what anybody may have filled: undefined for another type, or for bytes that are no message. */
export function anyToOrNone<D extends DescMessage>(any: Any | undefined, schema: D): MessageShape<D> | undefined {
  if (any === undefined || !anyIs(any, schema)) return undefined;
  try {
    return fromBinary(schema, any.value);
  } catch {
    // Bytes that are no message, of whoever published them.
    return undefined;
  }
}

/** Opens an Any that carries a JSON document. Errors: invalidArgument when it is not JSON. */
export function anyToJson(any: Any, parse: (text: string) => unknown = JSON.parse): unknown {
  try {
    return parse(decoder.decode(any.value));
  } catch (error) {
    throw fault("invalidArgument", `decode ${quote(any.typeUrl)} as JSON: ${messageOf(error)}`, { cause: error });
  }
}
