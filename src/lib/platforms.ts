import { invalidArgument, quote } from "./faults.ts";

/** What an image is made for, in OCI's words; empty parts are not stated. */
export interface Platform {
  readonly os: string;
  readonly architecture: string;
  readonly variant?: string | undefined;
  readonly osVersion?: string | undefined;
  readonly osFeatures?: readonly string[] | undefined;
}

/** Which platforms will do, and which of two does better. */
export interface PlatformMatcher {
  readonly matches: (platform: Platform) => boolean;
  /** Negative when `a` is to be taken before `b`; for a stable sort. */
  readonly compare: (a: Platform, b: Platform) => number;
}

const knownSystems: ReadonlySet<string> = new Set(
  "aix android darwin dragonfly freebsd hurd illumos ios js linux nacl netbsd openbsd plan9 solaris windows zos".split(
    " ",
  ),
);
const knownArchitectures: ReadonlySet<string> = new Set(
  (
    "386 amd64 amd64p32 arm armbe arm64 arm64be ppc64 ppc64le loong64 mips mipsle mips64 mips64le mips64p32 mips64p32le " +
    "ppc riscv riscv64 s390 s390x sparc sparc64 wasm"
  ).split(" "),
);
const systemPattern = /^([A-Za-z0-9_-]+)(?:\(([A-Za-z0-9_.%-]*)((?:\+[A-Za-z0-9_.%-]+)*)\))?$/;
const partPattern = /^[A-Za-z0-9_.-]+$/;

/** The platform of this machine. Source: containerd/platforms defaults_unix.go; the variant is arm's alone. */
export const hostPlatform: Platform = {
  os: "linux",
  architecture: process.arch === "x64" ? "amd64" : process.arch === "ia32" ? "386" : process.arch,
  variant: process.arch === "arm64" ? "v8" : process.arch === "arm" ? "v7" : undefined,
};

/**
 * Reads `os[(version[+feature]...)][/arch[/variant]]`, an os alone or an architecture alone.
 * Errors: invalidArgument, as containerd's text has it.
 * Source: containerd/platforms platforms.go, Parse.
 */
export function parsePlatform(specifier: string): Platform {
  if (specifier.includes("*")) throw invalidArgument(`${quote(specifier)}: wildcards not yet supported`);
  const parts = specifier.split("/");
  const [first = "", second, third] = parts;
  const match = systemPattern.exec(first);
  if (match === null) throw badPart(first, specifier, "OS component", systemPattern);
  for (const part of parts.slice(1))
    if (!partPattern.test(part)) throw badPart(part, specifier, "component", partPattern);
  const [, name, version, features] = match;
  const os = { os: normalSystem(name ?? ""), ...systemOptions(version ?? "", features ?? "", specifier) };
  if (parts.length === 1) return loneSpecifier(first, os, specifier);
  if (parts.length > 3) throw invalidArgument(`${quote(specifier)}: cannot parse platform specifier`);
  const [architecture, variant] = normalArchitecture(second as string, third ?? "");
  return { ...os, architecture, ...variantOf(statedVariant(architecture, variant, third !== undefined)) };
}

/** The variant that is written where all three parts are, or left out where only two are. */
function statedVariant(architecture: string, variant: string, isStated: boolean): string {
  if (isStated) return architecture === "arm64" && variant === "" ? "v8" : variant;
  return architecture === "arm" && variant === "v7" ? "" : variant;
}

/** A platform as `os[(version+features)]/arch[/variant]`; `unknown` without an os. */
export function formatPlatform(platform: Platform): string {
  if (platform.os === "") return "unknown";
  const features = [...new Set(platform.osFeatures ?? [])].filter((one) => one !== "").sort();
  const version = encodeOption(platform.osVersion ?? "");
  const extra =
    version === "" && features.length === 0 ? "" : `(${[version, ...features.map(encodeOption)].join("+")})`;
  return [`${platform.os}${extra}`, platform.architecture, platform.variant ?? ""]
    .filter((part) => part !== "")
    .join("/");
}

/** A platform in the one spelling that is compared. Source: containerd/platforms database.go. */
export function normalizePlatform(platform: Platform): Platform {
  const [architecture, variant] = normalArchitecture(platform.architecture, platform.variant ?? "");
  const features = [...new Set(platform.osFeatures ?? [])].sort();
  return {
    os: normalSystem(platform.os),
    architecture,
    ...variantOf(variant),
    ...(platform.osVersion ? { osVersion: platform.osVersion } : {}),
    ...(features.length > 0 ? { osFeatures: features } : {}),
  };
}

/** What a machine of that platform can run, the best first. Source: containerd/platforms compare.go, Only. */
export function onlyPlatform(platform: Platform): PlatformMatcher {
  return orderedPlatforms(compatible(normalizePlatform(platform)));
}

/** Exactly that platform. */
export function strictPlatform(platform: Platform): PlatformMatcher {
  return orderedPlatforms([normalizePlatform(platform)]);
}

/** What is for the system of that platform, whatever the architecture. Source: containerd/platforms compare.go, OnlyOS. */
export function systemOfPlatform(platform: Platform): PlatformMatcher {
  const wanted = normalizePlatform(platform);
  const matches = (offered: Platform): boolean => {
    const other = normalizePlatform(offered);
    return wanted.os === other.os && hasFeatures(wanted, other);
  };
  return { matches, compare: orderedPlatforms([wanted]).compare };
}

/** Any of the platforms, none better than another. */
export function anyPlatformOf(platforms: readonly Platform[]): PlatformMatcher {
  const accepted = platforms.map(normalizePlatform);
  const matches = (platform: Platform): boolean => accepted.some((one) => accepts(one, platform));
  return {
    matches,
    compare: (a, b) => {
      const [first, second] = [matches(a), matches(b)];
      if (first && second) return featureCount(b) - featureCount(a);
      return Number(second) - Number(first);
    },
  };
}

/** Every platform. */
export const allPlatforms: PlatformMatcher = { matches: () => true, compare: () => 0 };

/** The platforms in order of preference. */
export function orderedPlatforms(platforms: readonly Platform[]): PlatformMatcher {
  const accepted = platforms.map(normalizePlatform);
  const rank = (platform: Platform): number => {
    const found = accepted.findIndex((one) => accepts(one, platform));
    return found === -1 ? accepted.length : found;
  };
  return {
    matches: (platform) => rank(platform) < accepted.length,
    compare: (a, b) => rank(a) - rank(b) || featureCount(b) - featureCount(a),
  };
}

function accepts(wanted: Platform, offered: Platform): boolean {
  const other = normalizePlatform(offered);
  return (
    wanted.os === other.os &&
    wanted.architecture === other.architecture &&
    (wanted.variant ?? "") === (other.variant ?? "") &&
    hasFeatures(wanted, other)
  );
}

function hasFeatures({ osFeatures: had = [] }: Platform, { osFeatures: needed = [] }: Platform): boolean {
  return needed.every((feature) => had.includes(feature));
}

function featureCount(platform: Platform): number {
  return platform.osFeatures?.length ?? 0;
}

function compatible(platform: Platform): Platform[] {
  const { architecture, variant = "" } = platform;
  const as = (arch: string, one: string): Platform => {
    const { variant: _dropped, ...rest } = platform;
    return { ...rest, architecture: arch, ...variantOf(one) };
  };
  if (architecture === "amd64")
    return [platform, ...lowerVersions(variant, 1).map((one) => as("amd64", one)), as("386", "")];
  if (architecture === "arm") return [platform, ...lowerVersions(variant, 5).map((one) => as("arm", one))];
  if (architecture !== "arm64") return [platform];
  const all = arm64Versions(variant === "" ? "v8" : variant).map((one) => as("arm64", one));
  const narrow = /^v[89]/.test(variant) || variant === "" ? "v8" : variant;
  return [...all, ...compatible(as("arm", narrow))];
}

function lowerVersions(variant: string, lowest: number): string[] {
  const version = /^v?\d{1,3}$/.test(variant) ? Number(variant.replace("v", "")) : 0;
  const lower: string[] = [];
  for (let one = version - 1; one >= lowest; one--) lower.push(`v${one}`);
  return lower;
}

/** What runs on an arm64 of that version: each v9.n has what v8.(n+5) has. */
function arm64Versions(variant: string): string[] {
  const match = /^v([89])(?:\.(\d))?$/.exec(variant);
  const minor = Number(match?.[2] ?? 0);
  if (match === null || minor > (match[1] === "8" ? 9 : 7)) return [];
  const down = (major: number, from: number): string[] =>
    Array.from({ length: from + 1 }, (_, at) => (from === at ? `v${major}` : `v${major}.${from - at}`));
  return match[1] === "8" ? down(8, minor) : [...down(9, minor), ...down(8, Math.min(minor + 5, 9))];
}

function loneSpecifier(text: string, os: Pick<Platform, "os">, specifier: string): Platform {
  if (knownSystems.has(os.os)) {
    const { architecture, variant } = hostPlatform;
    return { ...os, architecture, ...variantOf(architecture === "arm" && variant !== "v7" ? (variant ?? "") : "") };
  }
  const [architecture, variant] = normalArchitecture(text, "");
  if (!knownArchitectures.has(architecture)) {
    throw invalidArgument(`${quote(specifier)}: unknown operating system or architecture`);
  }
  return { os: hostPlatform.os, architecture, ...variantOf(architecture === "arm" && variant === "v7" ? "" : variant) };
}

function systemOptions(version: string, features: string, specifier: string): Partial<Platform> {
  const list = features
    .split("+")
    .filter((one) => one !== "")
    .map((one) => decodeOption(one, specifier));
  const osVersion = decodeOption(version, specifier);
  return { ...(osVersion === "" ? {} : { osVersion }), ...(list.length === 0 ? {} : { osFeatures: list }) };
}

function decodeOption(text: string, specifier: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    // The only way in which it fails is a bad escape, which is the caller's mistake.
    throw invalidArgument(`${quote(specifier)} has an invalid OS option ${quote(text)}`);
  }
}

function encodeOption(text: string): string {
  return text.replace(/[%+()/]/g, (one) => `%${one.charCodeAt(0).toString(16).toUpperCase()}`);
}

function variantOf(variant: string): Pick<Platform, "variant"> {
  return variant === "" ? {} : { variant };
}

function badPart(part: string, specifier: string, what: string, pattern: RegExp): Error {
  const subject = what === "component" ? "platform specifier" : "OSAndVersion specifier";
  return invalidArgument(
    `${quote(part)} is an invalid ${what} of ${quote(specifier)}: ${subject} component must match ${quote(pattern.source)}`,
  );
}

function normalSystem(os: string): string {
  if (os === "") return hostPlatform.os;
  const lower = os.toLowerCase();
  return lower === "macos" ? "darwin" : lower;
}

/** Other names of architectures, some of which say the variant too. */
const architectureNames: ReadonlyMap<string, readonly [string, string | undefined]> = new Map([
  ["i386", ["386", ""]],
  ["x86_64", ["amd64", undefined]],
  ["x86-64", ["amd64", undefined]],
  ["aarch64", ["arm64", undefined]],
  ["armhf", ["arm", "v7"]],
  ["armel", ["arm", "v6"]],
]);
/** Variants by their other names, and those that go without saying. */
const variantNames: ReadonlyMap<string, string> = new Map([
  ["amd64 v1", ""],
  ["arm64 8", ""],
  ["arm64 v8", ""],
  ["arm64 v8.0", ""],
  ["arm64 9", "v9"],
  ["arm64 9.0", "v9"],
  ["arm64 v9.0", "v9"],
  ["arm ", "v7"],
  ["arm 5", "v5"],
  ["arm 6", "v6"],
  ["arm 7", "v7"],
  ["arm 8", "v8"],
]);

function normalArchitecture(architecture: string, variant: string): readonly [string, string] {
  const lower = architecture.toLowerCase();
  const [name, implied] = architectureNames.get(lower) ?? [lower, undefined];
  const said = implied ?? variant.toLowerCase();
  return [name, variantNames.get(`${name} ${said}`) ?? said];
}
