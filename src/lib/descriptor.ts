import { type Digest, digestProblem } from "./digest.ts";
import { invalidArgument, quote } from "./faults.ts";
import type { Platform } from "./platforms.ts";

/** What is pointed to: an OCI content descriptor. */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly sizeBytes: number;
  /** Where else the content may be had. */
  readonly urls?: readonly string[] | undefined;
  readonly annotations?: ReadonlyMap<string, string> | undefined;
  /** The content itself, when it was small. */
  readonly data?: Uint8Array | undefined;
  readonly platform?: Platform | undefined;
  readonly artifactType?: string | undefined;
}

/**
 * Reads a descriptor out of parsed JSON that came from outside.
 * Errors: invalidArgument, which says what is wrong with what.
 */
export function parseDescriptor(value: unknown, what = "descriptor"): Descriptor {
  const fields = asRecord(value, what);
  const digest = fields["digest"];
  const size = fields["size"];
  const problem = typeof digest === "string" ? digestProblem(digest) : "not a string";
  if (problem !== undefined) throw invalidArgument(`${what}: bad digest ${quote(String(digest))}: ${problem}`);
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0) {
    throw invalidArgument(`${what}: bad size ${quote(String(size))}`);
  }
  const { platform, data } = fields;
  return {
    mediaType: asText(fields["mediaType"], `${what}: mediaType`) ?? "",
    digest: digest as Digest,
    sizeBytes: size,
    ...optional("urls", asTexts(fields["urls"], `${what}: urls`)),
    ...optional("annotations", asTextMap(fields["annotations"], `${what}: annotations`)),
    ...optional("artifactType", asText(fields["artifactType"], `${what}: artifactType`)),
    ...(isAbsent(data) ? {} : { data: Buffer.from(asText(data, `${what}: data`) ?? "", "base64") }),
    ...(isAbsent(platform) ? {} : { platform: parsePlatformFields(platform, `${what}: platform`) }),
  };
}

/** A descriptor as OCI's JSON has it. */
export function descriptorJson(descriptor: Descriptor): Record<string, unknown> {
  const { platform, annotations, data } = descriptor;
  return {
    mediaType: descriptor.mediaType,
    digest: descriptor.digest,
    size: descriptor.sizeBytes,
    ...optional("urls", descriptor.urls),
    ...(annotations === undefined ? {} : { annotations: Object.fromEntries(annotations) }),
    ...(data === undefined ? {} : { data: Buffer.from(data).toString("base64") }),
    ...(platform === undefined ? {} : { platform: platformJson(platform) }),
    ...optional("artifactType", descriptor.artifactType),
  };
}

function platformJson(platform: Platform): Record<string, unknown> {
  return {
    architecture: platform.architecture,
    os: platform.os,
    ...optional("os.version", platform.osVersion),
    ...optional("os.features", platform.osFeatures),
    ...optional("variant", platform.variant),
  };
}

function parsePlatformFields(value: unknown, what: string): Platform {
  const fields = asRecord(value, what);
  return {
    os: asText(fields["os"], `${what}.os`) ?? "",
    architecture: asText(fields["architecture"], `${what}.architecture`) ?? "",
    ...optional("variant", asText(fields["variant"], `${what}.variant`)),
    ...optional("osVersion", asText(fields["os.version"], `${what}.os.version`)),
    ...optional("osFeatures", asTexts(fields["os.features"], `${what}.os.features`)),
  };
}

function isAbsent(value: unknown): boolean {
  return value === undefined || value === null;
}

function asRecord(value: unknown, what: string): Record<string, unknown> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw invalidArgument(`${what} is not an object`);
}

function asText(value: unknown, what: string): string | undefined {
  if (value === undefined || value === null || typeof value === "string") return value ?? undefined;
  throw invalidArgument(`${what} is not a string`);
}

function asTexts(value: unknown, what: string): readonly string[] | undefined {
  if (value === undefined || value === null) return undefined;
  if (!Array.isArray(value)) throw invalidArgument(`${what} is not a list`);
  return value.map((one) => asText(one, what) ?? "");
}

function asTextMap(value: unknown, what: string): ReadonlyMap<string, string> | undefined {
  if (value === undefined || value === null) return undefined;
  return new Map(Object.entries(asRecord(value, what)).map(([key, one]) => [key, asText(one, what) ?? ""]));
}

function optional<K extends string, V>(key: K, value: V | undefined): { readonly [P in K]?: V } {
  return value === undefined ? {} : ({ [key]: value } as { readonly [P in K]: V });
}
