import { fault } from "../../lib/faults.ts";
import { ByteReader, ByteWriter } from "./bytes.ts";
import { messageTable } from "./tables.ts";

/** A decoded message: its fields by local name, absent sub-messages left out, as @bufbuild/protobuf shapes them. */
export type Message = Record<string, unknown>;

interface Field {
  readonly name: string;
  readonly number: number;
  readonly container: "one" | "list" | "map";
  readonly kind: string;
  readonly type: string;
}

interface Layout {
  readonly fields: readonly Field[];
  readonly byNumber: ReadonlyMap<number, Field>;
}

const layouts = new Map<string, Layout>();

/** A message nests at most this deep. Source: protobuf's own default recursion limit. */
const maxDepth = 100;

/**
 * Encodes a message by its table.
 * Shape: `value` has the init shape of @bufbuild/protobuf: fields by local name, defaults may be left out.
 * Errors: internal when the table has no such message.
 */
export function encodeMessage(type: string, value: object): Uint8Array {
  const writer = new ByteWriter();
  writeMessage(writer, type, value as Message);
  return writer.finish();
}

/**
 * Decodes a message by its table; fields that the table does not know are skipped.
 * Errors: internal when the bytes are not such a message.
 */
export function decodeMessage(type: string, bytes: Uint8Array): Message {
  return readMessage(new ByteReader(bytes), type, 0);
}

/** True when the table knows the message. */
export function knowsMessage(type: string): boolean {
  return Object.hasOwn(messageTable, type);
}

function layoutOf(type: string): Layout {
  const known = layouts.get(type);
  if (known !== undefined) return known;
  const text = messageTable[type];
  if (text === undefined) throw fault("internal", `message type ${type} is not in the client's tables`);
  const fields = text === "" ? [] : text.split(" ").map(parseField);
  const layout = { fields, byNumber: new Map(fields.map((field) => [field.number, field])) };
  layouts.set(type, layout);
  return layout;
}

function parseField(text: string): Field {
  const [name = "", number = "", kind = "", type = ""] = text.split(":");
  const container = kind.startsWith("*") ? "list" : kind.startsWith("{") ? "map" : "one";
  return { name, number: Number(number), container, kind: container === "one" ? kind : kind.slice(1), type };
}

function writeMessage(writer: ByteWriter, type: string, message: Message): void {
  for (const field of layoutOf(type).fields) {
    const value = message[field.name];
    if (value === undefined) continue;
    if (field.container === "list") writeList(writer, field, value as readonly unknown[]);
    else if (field.container === "map") writeMap(writer, field, value as Message);
    else if (!isDefault(value)) writeTagged(writer, field.number, field, value);
  }
}

function isDefault(value: unknown): boolean {
  return (
    value === "" ||
    value === 0 ||
    value === 0n ||
    value === false ||
    (value instanceof Uint8Array && value.length === 0)
  );
}

function writeList(writer: ByteWriter, field: Field, values: readonly unknown[]): void {
  for (const value of values) writeTagged(writer, field.number, field, value);
}

function writeMap(writer: ByteWriter, field: Field, map: Message): void {
  for (const [key, value] of Object.entries(map)) {
    const entry = new ByteWriter();
    entry.tag(1, 2);
    entry.text(key);
    writeTagged(entry, 2, field, value);
    writer.tag(field.number, 2);
    writer.bytes(entry.finish());
  }
}

function writeTagged(writer: ByteWriter, number: number, field: Field, value: unknown): void {
  switch (field.kind) {
    case "s":
      writer.tag(number, 2);
      writer.text(value as string);
      return;
    case "b":
      writer.tag(number, 2);
      writer.bytes(value as Uint8Array);
      return;
    case "m":
      writer.tag(number, 2);
      writer.bytes(encodeMessage(field.type, value as object));
      return;
    case "d":
      writer.tag(number, 1);
      writer.double(value as number);
      return;
    default:
      writer.tag(number, 0);
      writeVarint(writer, field.kind, value);
  }
}

function writeVarint(writer: ByteWriter, kind: string, value: unknown): void {
  if (kind === "o") writer.varint(value === true ? 1 : 0);
  else if (kind === "I" || kind === "U") writer.varint64(value as bigint);
  else if ((value as number) < 0) writer.varint64(BigInt(value as number));
  else writer.varint(value as number);
}

function readMessage(reader: ByteReader, type: string, depth: number): Message {
  if (depth > maxDepth) throw fault("internal", `decode ${type}: nested deeper than ${maxDepth}`);
  const layout = layoutOf(type);
  const message = emptyMessage(type, layout);
  while (!reader.atEnd) {
    const tag = reader.varint();
    const field = layout.byNumber.get(tag >>> 3);
    if (field === undefined) reader.skip(tag & 7);
    else readField(reader, tag & 7, field, message, depth);
  }
  return message;
}

/** Every field at its default, sub-messages left out; maps have no prototype, so that any key is only a key. */
function emptyMessage(type: string, layout: Layout): Message {
  const message: Message = { $typeName: type };
  for (const field of layout.fields) {
    if (field.container === "list") message[field.name] = [];
    else if (field.container === "map") message[field.name] = Object.create(null);
    else if (field.kind !== "m") message[field.name] = defaultOf(field.kind);
  }
  return message;
}

function defaultOf(kind: string): unknown {
  if (kind === "s") return "";
  if (kind === "b") return new Uint8Array(0);
  if (kind === "o") return false;
  return kind === "I" || kind === "U" ? 0n : 0;
}

function readField(reader: ByteReader, wire: number, field: Field, message: Message, depth: number): void {
  if (field.container === "map") {
    readEntry(new ByteReader(reader.bytes()), field, message[field.name] as Message, depth);
  } else if (field.container === "list") {
    const list = message[field.name] as unknown[];
    const packed = wire === 2 && field.kind !== "s" && field.kind !== "b" && field.kind !== "m";
    if (!packed) list.push(readValue(reader, field, depth));
    else for (const inner = new ByteReader(reader.bytes()); !inner.atEnd; ) list.push(readValue(inner, field, depth));
  } else {
    message[field.name] = readValue(reader, field, depth);
  }
}

function readEntry(reader: ByteReader, field: Field, map: Message, depth: number): void {
  let key = "";
  let value: unknown = field.kind === "m" ? undefined : defaultOf(field.kind);
  while (!reader.atEnd) {
    const tag = reader.varint();
    if (tag >>> 3 === 1) key = reader.text();
    else if (tag >>> 3 === 2) value = readValue(reader, field, depth);
    else reader.skip(tag & 7);
  }
  map[key] = value ?? readMessage(new ByteReader(new Uint8Array(0)), field.type, depth + 1);
}

function readValue(reader: ByteReader, field: Field, depth: number): unknown {
  switch (field.kind) {
    case "s":
      return reader.text();
    case "b":
      return reader.bytes();
    case "m":
      return readMessage(new ByteReader(reader.bytes()), field.type, depth + 1);
    case "d":
      return reader.double();
    case "o":
      return reader.varint() !== 0;
    case "I":
      return BigInt.asIntN(64, reader.varint64());
    case "U":
      return reader.varint64();
    case "i":
      return reader.varint() | 0;
    default:
      return reader.varint();
  }
}
