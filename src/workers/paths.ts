import type { ByteString } from "../lib/tar/index.ts";

/** A name's bytes, as the runtime's calls take paths that may be no UTF-8. */
export function pathBytes(path: ByteString): Buffer {
  return Buffer.from(path, "latin1");
}

/**
 * Takes `.`, `..` and doubled slashes out of a name in an archive; undefined when it leads out of the top.
 * Shape: no slash at either end; empty for the top itself.
 */
export function cleanName(name: ByteString): ByteString | undefined {
  if (isClean(name)) return name;
  const parts: string[] = [];
  for (const part of name.split("/")) {
    if (part === "" || part === ".") continue;
    if (part !== "..") parts.push(part);
    else if (parts.pop() === undefined) return undefined;
  }
  return parts.join("/");
}

/** What nearly all names are: nothing to take out. */
function isClean(name: ByteString): boolean {
  return name !== "" && !name.startsWith("/") && !name.endsWith("/") && !/(?:^|\/)\.{0,2}(?:\/|$)/.test(name);
}

/** The folder part of a clean name; empty for the top. */
export function folderOf(name: ByteString): ByteString {
  const slash = name.lastIndexOf("/");
  return slash <= 0 ? "" : name.slice(0, slash);
}

export function baseOf(name: ByteString): ByteString {
  return name.slice(name.lastIndexOf("/") + 1);
}
