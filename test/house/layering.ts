import path from "node:path";
import { importsOf, type SourceFile } from "./source-files.ts";

/** The floors from the ground up; a folder may import from its own floor and from those below it. */
const floors: readonly (readonly string[])[] = [
  ["src/gen"],
  ["src/sys", "src/lib"],
  ["src/wire", "src/plugin", "src/workers"],
  ["src/core"],
  ["src/cri", "src/shim", "src/client", "src/cli"],
  ["src/daemon"],
  ["bin"],
  ["test", "bench", "scripts"],
];

/** Folders whose every subfolder is a room with a door of its own; the others are one room each. */
const houses = ["src/core", "src/wire", "src/lib"];

/**
 * Rooms that some may enter past the door: a subcommand loads just the parts of the client that it needs, and bin just the
 * main of the command, or the shim's short commands, since a door would load all of it and start-up is what a person feels. For the same reason the
 * client takes header compression without the server that stands behind the same door.
 */
const openTo: Readonly<Record<string, readonly string[]>> = {
  "src/client": ["src/cli"],
  "src/cli": ["bin"],
  "src/shim": ["bin"],
  "src/wire/http2": ["src/client"],
};

/** Says what in these files goes against the house's rules: floors, doors and the fence around bun:ffi. */
export function findViolations(files: readonly SourceFile[]): readonly string[] {
  // The rules' own tests hold samples of what is refused.
  const judged = files.filter((file) => file.path !== "test/house/layering.test.ts");
  return judged.flatMap((file) => importsOf(file.text).flatMap((specifier) => violation(file.path, specifier) ?? []));
}

function violation(from: string, specifier: string): string | undefined {
  if (specifier === "bun:ffi") {
    return from.startsWith("src/sys/") ? undefined : `${from}: only src/sys may import bun:ffi`;
  }
  if (!specifier.startsWith(".")) return undefined;
  const to = path.normalize(path.join(path.dirname(from), specifier));
  const isTest = /\.test\.ts$|(^|\/)testing(\.ts$|\/)/.test(from);
  const fromFloor = floorOf(from);
  const toFloor = floorOf(to);
  if (toFloor === undefined) return outside(from, to);
  if (fromFloor === undefined) return `${from}: stands on no floor of the house`;
  // A test may use what stands above it (a client, a daemon); it is no part of what is shipped.
  if (toFloor > fromFloor && !isTest) return `${from}: imports upwards from ${to}`;
  if (fromFloor === floors.length - 1) return undefined;
  const room = roomOf(to);
  if (room === roomOf(from) || isDoor(to, room)) return undefined;
  if (openTo[room]?.includes(roomOf(from)) === true) return undefined;
  // A room's plugin.ts is its other door, for the composition alone.
  if (roomOf(from) === "src/daemon" && to === `${room}/plugin.ts`) return undefined;
  return isTest && /(^|\/)testing(\.ts$|\/)/.test(to) ? undefined : `${from}: enters ${room} past its door (${to})`;
}

/** package.json may be read by all, what is packaged by the command that installs it; anything else outside the house by nobody. */
function outside(from: string, to: string): string | undefined {
  const packaged = to.startsWith("packaging/") && from.startsWith("src/cli/");
  return packaged || to === "package.json" ? undefined : `${from}: imports ${to}, which is on no floor`;
}

function floorOf(file: string): number | undefined {
  const found = floors.findIndex((floor) => floor.some((folder) => file.startsWith(`${folder}/`)));
  return found < 0 ? undefined : found;
}

function roomOf(file: string): string {
  const parts = file.split("/");
  const house = houses.find((folder) => file.startsWith(`${folder}/`));
  if (house !== undefined) return parts.length > 3 ? parts.slice(0, 3).join("/") : house;
  return parts.slice(0, parts[0] === "src" ? 2 : 1).join("/");
}

/** Generated code and a house's own loose files (lib/ctx.ts, wire/service.ts) are doors themselves. */
function isDoor(file: string, room: string): boolean {
  return room === "src/gen" || houses.includes(room) || file === `${room}/index.ts`;
}
