import { invalidArgument, quote } from "../../lib/faults.ts";
import type { MountEntry } from "./runtime-spec.ts";

/**
 * A `--volume SOURCE:TARGET[:OPTIONS]` as a mount.
 * Shape: both paths are absolute, or the source relative to `cwd` when it begins with a dot; options are `ro`, `rw` and
 * what mount(8) knows.
 * Errors: invalidArgument.
 */
export function volumeMount(text: string, cwd: string): MountEntry {
  const [source = "", destination = "", options = "", ...rest] = text.split(":");
  if (rest.length > 0 || source === "" || !destination.startsWith("/")) {
    throw invalidArgument(`volume ${quote(text)} is not SOURCE:TARGET[:OPTIONS] with an absolute target`);
  }
  if (!source.startsWith("/") && !source.startsWith(".")) {
    throw invalidArgument(
      `volume ${quote(text)}: named volumes are not supported; give a path, like /srv/${source} or ./${source}`,
    );
  }
  const from = source.startsWith("/") ? source : `${cwd}/${source}`;
  return bind(from, destination, options === "" ? [] : options.split(","));
}

/**
 * A `--mount type=bind|tmpfs,src=,dst=,...` as a mount, in docker's and ctr's spellings.
 * Errors: invalidArgument.
 */
export function mountFlag(text: string, cwd: string): MountEntry {
  const fields = new Map<string, string>();
  const options: string[] = [];
  for (const part of text.split(",")) {
    const equals = part.indexOf("=");
    const key = equals < 0 ? part : part.slice(0, equals);
    const value = equals < 0 ? "" : part.slice(equals + 1);
    const field = Object.hasOwn(fieldNames, key) ? fieldNames[key] : undefined;
    const found = field === undefined ? optionsOf(key, value, equals >= 0) : [];
    if (found === undefined) throw invalidArgument(`mount ${quote(text)}: ${quote(part)} is not known`);
    if (field === undefined) options.push(...found);
    else fields.set(field, value);
  }
  return mountOf(text, fields, options, cwd);
}

/** What a part says in mount(8)'s words; undefined when nothing that is known. */
function optionsOf(key: string, value: string, hasValue: boolean): readonly string[] | undefined {
  switch (key) {
    case "options":
      return value.split(":");
    case "readonly":
      return value === "" || value === "true" || value === "1" ? ["ro"] : [];
    case "tmpfs-size":
    case "size":
      return [`size=${value}`];
    case "tmpfs-mode":
    case "mode":
      return [`mode=${value}`];
    case "bind-propagation":
      return [value];
    default:
      return hasValue || key === "" ? undefined : [key];
  }
}

const fieldNames: Readonly<Record<string, string>> = {
  type: "type",
  src: "source",
  source: "source",
  dst: "destination",
  destination: "destination",
  target: "destination",
};

function mountOf(
  text: string,
  fields: ReadonlyMap<string, string>,
  options: readonly string[],
  cwd: string,
): MountEntry {
  const type = fields.get("type") ?? "bind";
  const source = fields.get("source") ?? "";
  const destination = fields.get("destination") ?? "";
  if (type === "volume") throw invalidArgument(`mount ${quote(text)}: named volumes are not supported; use type=bind`);
  if (!destination.startsWith("/")) throw invalidArgument(`mount ${quote(text)} needs dst=/an/absolute/path`);
  if (type === "tmpfs") {
    const given = options.length > 0 ? options : ["nosuid", "nodev"];
    return { destination, type, source: source === "" ? "tmpfs" : source, options: [...given] };
  }
  if (source === "") throw invalidArgument(`mount ${quote(text)} needs src=`);
  if (type !== "bind") return { destination, type, source, options: [...options] };
  return bind(source.startsWith("/") ? source : `${cwd}/${source}`, destination, options);
}

function bind(source: string, destination: string, given: readonly string[]): MountEntry {
  const options = given.filter((option) => option !== "rw");
  if (!options.includes("bind") && !options.includes("rbind")) options.unshift("rbind");
  return { destination, type: "bind", source, options };
}
