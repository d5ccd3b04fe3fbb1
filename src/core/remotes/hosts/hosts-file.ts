import { isAbsolute, join, posix } from "node:path";
import { parse } from "smol-toml";
import { invalidArgument, messageOf, quote } from "../../../lib/faults.ts";
import { allCapabilities, type HostCapability, type HostSettings, parseDuration } from "./host-config.ts";

type Table = Readonly<Record<string, unknown>>;

const hostKeys = ["capabilities", "ca", "client", "skip_verify", "dial_timeout", "header", "override_path"];
const fileKeys = [...hostKeys, "server", "host"];

/**
 * Reads a hosts.toml: the `[host."..."]` tables in the order of the file, then the server itself.
 * Shape: paths are relative to `folder`. The last entry has no place of its own when the file names no `server`. `onUnknown`
 * is told of keys that mean nothing, by their whole names.
 * Errors: invalidArgument that names the key.
 * Source: containerd core/remotes/docker/config/hosts.go, parseHostsFile; docs/hosts.md.
 */
export function parseHostsFile(
  text: string,
  folder: string,
  onUnknown: (key: string) => void = () => {},
): HostSettings[] {
  const root = parseToml(text);
  const server = root["server"] ?? "";
  if (typeof server !== "string") throw invalidArgument(`server: ${shown(server)} is not a string`);
  const hosts = root["host"] ?? {};
  if (!isTable(hosts)) throw invalidArgument(`host: ${shown(hosts)} is not a table`);
  const look = (table: Table, known: readonly string[], at: string): void => {
    for (const key of Object.keys(table)) if (!known.includes(key)) onUnknown(`${at}${key}`);
  };
  look(root, fileKeys, "");
  return [
    ...Object.entries(hosts).map(([name, settings]) => {
      if (!isTable(settings)) throw invalidArgument(`host.${quote(name)}: ${shown(settings)} is not a table`);
      const at = `host.${quote(name)}.`;
      look(settings, hostKeys, at);
      return parseSettings(name, settings, folder, at);
    }),
    parseSettings(server, root, folder, ""),
  ];
}

function parseToml(text: string): Table {
  try {
    return parse(text);
  } catch (error) {
    throw invalidArgument(messageOf(error).split("\n", 1)[0] ?? "", { cause: error });
  }
}

function parseSettings(server: string, table: Table, folder: string, at: string): HostSettings {
  const inFolder = (path: string): string => (isAbsolute(path) ? path : join(folder, path));
  const skipVerify = table["skip_verify"];
  if (skipVerify !== undefined && typeof skipVerify !== "boolean") {
    throw invalidArgument(`${at}skip_verify: ${shown(skipVerify)} is not true or false`);
  }
  const overridePath = table["override_path"] ?? false;
  if (typeof overridePath !== "boolean") {
    throw invalidArgument(`${at}override_path: ${shown(overridePath)} is not true or false`);
  }
  const dialTimeout = table["dial_timeout"] ?? "";
  if (typeof dialTimeout !== "string")
    throw invalidArgument(`${at}dial_timeout: ${shown(dialTimeout)} is not a string`);
  return {
    ...(server === "" ? {} : place(server, overridePath, at)),
    capabilities: capabilities(table["capabilities"], `${at}capabilities`),
    caFiles: texts(table["ca"], `${at}ca`).map(inFolder),
    clientPairs: pairs(table["client"], `${at}client`).map(([one, two]) => [inFolder(one), inFolder(two)] as const),
    headers: headers(table["header"], `${at}header`),
    ...(skipVerify === undefined ? {} : { skipVerify }),
    ...(dialTimeout === "" ? {} : { dialTimeoutMs: parseDuration(dialTimeout) }),
  };
}

function place(server: string, overridePath: boolean, at: string): Pick<HostSettings, "scheme" | "authority" | "path"> {
  const text = server.includes("://") ? server : `https://${server}`;
  const url = URL.parse(text);
  if (url === null || (url.protocol !== "http:" && url.protocol !== "https:") || url.host === "") {
    throw invalidArgument(`${at}server: unable to parse server ${text}`);
  }
  const given = /^https?:\/\/[^/?#]*(\/[^?#]*)?/.exec(text)?.[1] ?? "";
  let path = given === "" ? "" : posix.normalize(given).replace(/(?<=.)\/$/, "");
  if (!overridePath && !path.endsWith("/v2")) path = posix.join("/", path, "v2");
  return { scheme: url.protocol === "http:" ? "http" : "https", authority: url.host, path: path === "/" ? "" : path };
}

function capabilities(value: unknown, at: string): ReadonlySet<HostCapability> {
  const names = texts(value, at).map((name) => name.toLowerCase());
  const unknown = names.find((name) => !allCapabilities.has(name as HostCapability));
  if (unknown !== undefined) throw invalidArgument(`${at}: unknown capability ${unknown}`);
  return names.length === 0 ? allCapabilities : new Set(names as HostCapability[]);
}

function pairs(value: unknown, at: string): (readonly [string, string])[] {
  if (typeof value === "string") return [[value, value]];
  if (value === undefined) return [];
  if (!Array.isArray(value)) throw invalidArgument(`${at}: invalid type ${shown(value)}`);
  return value.map((one: unknown) => {
    if (typeof one === "string") return [one, one] as const;
    const [certificate, key, more] = texts(one, at);
    if (certificate !== undefined && key !== undefined && more === undefined) return [certificate, key] as const;
    throw invalidArgument(`${at}: invalid pair ${shown(one)}`);
  });
}

function headers(value: unknown, at: string): ReadonlyMap<string, readonly string[]> {
  if (value === undefined) return new Map();
  if (!isTable(value)) throw invalidArgument(`${at}: ${shown(value)} is not a table`);
  return new Map(Object.entries(value).map(([name, one]) => [checkName(name, at), texts(one, `${at}.${quote(name)}`)]));
}

function checkName(name: string, at: string): string {
  if (/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(name)) return name;
  throw invalidArgument(`${at}: ${quote(name)} is not a header's name`);
}

function texts(value: unknown, at: string): readonly string[] {
  if (value === undefined) return [];
  if (typeof value === "string") return [value];
  if (!Array.isArray(value)) throw invalidArgument(`${at}: invalid type ${shown(value)}`);
  return value.map((one: unknown) => {
    if (typeof one === "string") return one;
    throw invalidArgument(`${at}: ${shown(one)} is not a string`);
  });
}

function isTable(value: unknown): value is Table {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
}

function shown(value: unknown): string {
  return JSON.stringify(value) ?? String(value);
}
