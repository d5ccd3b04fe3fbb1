import { toBinary } from "@bufbuild/protobuf";
import { type Status, StatusSchema } from "../../gen/google/rpc/status_pb.ts";
import type { FaultError } from "../../lib/faults.ts";
import { type HeaderFields, HeaderTemplate, headerListSize, headerValue } from "../http2/index.ts";
import { faultOf } from "../status.ts";

const answerFields: HeaderFields = [":status", "200", "content-type", "application/grpc"];
/** How every answer with messages begins. */
export const answerHeaders: HeaderTemplate = new HeaderTemplate(answerFields);
/** How every answer that went well ends. */
export const okTrailers: HeaderTemplate = new HeaderTemplate(["grpc-status", "0"]);

/**
 * The last fields of an answer that failed. A peer that does not take as much as this gets no details and, if it must be,
 * the beginning of the message: one that got too much would drop the call, or the connection.
 */
export function statusTrailers(status: Status, maxHeaderList: number): string[] {
  const message = encodeMessage(status.message);
  const fields = ["grpc-status", String(status.code), "grpc-message", message];
  if (status.details.length > 0) {
    const details = Buffer.from(toBinary(StatusSchema, status)).toString("base64");
    const detailed = [...fields, "grpc-status-details-bin", details];
    if (headerListSize(detailed) <= maxHeaderList) return detailed;
  }
  const excess = headerListSize(fields) - maxHeaderList;
  if (excess > 0) fields[3] = cutEncoded(message, message.length - excess);
  return fields;
}

/** An answer that failed before it began: all in one header block. */
export function statusOnly(status: Status, maxHeaderList: number, httpStatus = "200"): HeaderFields {
  const head = [":status", httpStatus, "content-type", "application/grpc"];
  return [...head, ...statusTrailers(status, maxHeaderList - headerListSize(head))];
}

const cutMark = "... (cut)";

/** The last character of an encoded message, if it is not ASCII, and half an escape. */
const ragged = /(?:%[C-F].(?:%[89AB].){0,2})?(?:%.?)?$/;

/** The beginning of an encoded message, marked as such, without half a character. */
function cutEncoded(message: string, length: number): string {
  if (length < cutMark.length) return "";
  return message.slice(0, length - cutMark.length).replace(ragged, "") + cutMark;
}

/** Source: gRPC over HTTP/2, "Percent-Encoded". */
export function encodeMessage(message: string): string {
  if (/^[ -$&-~]*$/.test(message)) return message;
  let encoded = "";
  for (const byte of Buffer.from(message)) {
    const plain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25;
    encoded += plain ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, "0")}`;
  }
  return encoded;
}

/** Undoes `encodeMessage`; what is not a valid escape stays as it is. */
export function decodeMessage(encoded: string): string {
  if (!encoded.includes("%")) return encoded;
  const bytes = encoded.replace(/%([0-9a-fA-F]{2})/g, (_match, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return Buffer.from(bytes, "latin1").toString("utf8");
}

/** What the end of an answer says; undefined when it went well. */
export function faultOfTrailers(fields: HeaderFields, httpStatus: string | undefined): FaultError | undefined {
  const code = headerValue(fields, "grpc-status");
  if (code === undefined) {
    return faultOf(httpCode(httpStatus), `unexpected HTTP status code received from server: ${httpStatus ?? "none"}`);
  }
  if (code === "0") return undefined;
  const number = /^\d{1,3}$/.test(code) ? Number(code) : 2;
  return faultOf(number, decodeMessage(headerValue(fields, "grpc-message") ?? ""));
}

/** Source: gRPC, "HTTP to gRPC Status Code Mapping". */
function httpCode(status: string | undefined): number {
  const codes: Readonly<Record<string, number>> = {
    400: 13,
    401: 16,
    403: 7,
    404: 12,
    429: 14,
    502: 14,
    503: 14,
    504: 14,
  };
  return codes[status ?? ""] ?? 2;
}
