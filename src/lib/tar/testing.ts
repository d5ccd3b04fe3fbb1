import { encodeHeader, endMark, noXattrs, paddingFor, type TarEntry, zeroTime } from "./index.ts";

/** A member of an archive; what is left out is a plain file's. Data is latin1. */
export type Member = Partial<TarEntry> & { readonly name: string; readonly data?: string };

/** A member's header, as plain as can be. */
export function entryOf(name: string, more: Partial<TarEntry>, sizeBytes: number): TarEntry {
  return {
    name,
    linkName: "",
    kind: "file",
    mode: 0o644,
    uid: 0,
    gid: 0,
    sizeBytes,
    mtime: zeroTime,
    devMajor: 0,
    devMinor: 0,
    xattrs: noXattrs,
    ...more,
  };
}

/** An archive. */
export function tarOf(members: readonly Member[]): Buffer {
  const pieces: Uint8Array[] = [];
  for (const { data = "", name, ...more } of members) {
    const bytes = Buffer.from(data, "latin1");
    pieces.push(encodeHeader(entryOf(name, more, bytes.length), true), bytes, paddingFor(bytes.length));
  }
  return Buffer.concat([...pieces, endMark]);
}
