import { create, type DescField, type DescMessage, ScalarType, toBinary } from "@bufbuild/protobuf";

/** An encoded message; what `bulk` holds comes right after `head`, and is the caller's own memory. */
export interface EncodedMessage {
  readonly head: Uint8Array;
  readonly bulk: Uint8Array | undefined;
}

/** From here on a field of bytes is worth two copies less. */
const bulkMinBytes = 32 * 1024;
const empty = new Uint8Array();

/**
 * Encodes messages of one type. In streams, a large field of bytes at the top (a blob's data) is not copied into the
 * message: fields may come in any order, so it is sent from where it lies, after all others.
 */
export class MessageEncoder {
  readonly #schema: DescMessage;
  readonly #bulkField: DescField | undefined;

  constructor(schema: DescMessage) {
    this.#schema = schema;
    this.#bulkField = schema.fields.find((field) => field.scalar === ScalarType.BYTES && field.fieldKind === "scalar");
  }

  /** Takes a message or what one is made from. */
  encode(message: unknown): Uint8Array {
    const given = message as { readonly $typeName?: string };
    return toBinary(this.#schema, given.$typeName === undefined ? create(this.#schema, given) : (given as never));
  }

  /** As `encode`; the memory of a large field must stay as it is until it has been sent. */
  encodeForStream(message: unknown): EncodedMessage {
    const field = this.#bulkField;
    const bulk = field === undefined ? undefined : (message as Readonly<Record<string, unknown>>)[field.localName];
    if (field === undefined || !(bulk instanceof Uint8Array) || bulk.length < bulkMinBytes) {
      return { head: this.encode(message), bulk: undefined };
    }
    const rest = this.encode({ ...(message as object), [field.localName]: empty });
    return { head: Buffer.concat([rest, fieldHeader(field.number, bulk.length)]), bulk };
  }
}

/** Tag and length of a length-delimited field. */
function fieldHeader(number: number, length: number): Uint8Array {
  return Uint8Array.from([...varint((number << 3) | 2), ...varint(length)]);
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 0x7f; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  bytes.push(rest);
  return bytes;
}
