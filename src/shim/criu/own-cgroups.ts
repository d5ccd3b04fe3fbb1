import { rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import {
  type CgroupController,
  type CgroupEntry,
  CgroupEntrySchema,
  CgroupFolderSchema,
} from "../../gen/lighter/criu/v1/images_pb.ts";
import { encodeCriuImage, readCriuImage } from "./images.ts";

/** The name that cgroup v2's hierarchy has in an image. */
const unified = "";

/**
 * Leaves a checkpoint with the cgroups that are the container's own: names them where CRIU was told to ignore cgroups,
 * so that a restore finds their successors, and drops a v2 hierarchy beside v1 in which the container has none, since a
 * restore would build there what all others have, and leave it behind.
 * Effects: rewrites the folder's cgroup.img, if need be.
 */
export async function keepOwnCgroups(folder: string): Promise<void> {
  const path = join(folder, "cgroup.img");
  const image = await readCriuImage(path, CgroupEntrySchema);
  if (image === undefined) return;
  const entries = image.entries.map((entry) => withFolders(hasForeignUnified(entry) ? withoutUnified(entry) : entry));
  const next = `${path}.new`;
  await writeFile(next, encodeCriuImage(CgroupEntrySchema, { magic: image.magic, entries }), { mode: 0o600 });
  await rename(next, path);
}

/** The runtime gives a container the same path in each hierarchy in which it makes a cgroup for it. */
function hasForeignUnified({ sets }: CgroupEntry): boolean {
  return sets.some(({ ctls }) => {
    const own = ctls.find(({ name }) => name === unified);
    const others = ctls.filter(({ name }) => name !== unified);
    return own !== undefined && others.length > 0 && !others.some(({ path }) => path === own.path);
  });
}

function withoutUnified(entry: CgroupEntry): CgroupEntry {
  const sets = entry.sets.map((set) => ({ ...set, ctls: set.ctls.filter(({ name }) => name !== unified) }));
  return { ...entry, sets, controllers: entry.controllers.filter(({ cnames }) => !cnames.includes(unified)) };
}

function withFolders(entry: CgroupEntry): CgroupEntry {
  const controllers = entry.controllers.map((controller) =>
    controller.dirs.length > 0 ? controller : { ...controller, dirs: foldersOf(entry, controller) },
  );
  return { ...entry, controllers };
}

function foldersOf({ sets }: CgroupEntry, { cnames }: CgroupController): CgroupController["dirs"] {
  const members = sets.flatMap(({ ctls }) => ctls).filter(({ name }) => cnames.includes(name));
  const names = new Set(members.map(({ path }) => path.replace(/^\//, "")));
  return [...names].filter((name) => name !== "").map((dirName) => create(CgroupFolderSchema, { dirName }));
}
