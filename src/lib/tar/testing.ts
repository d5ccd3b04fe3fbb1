import { encodeHeader, endMark, paddingFor, plainEntry, type TarEntry } from "./index.ts";

/** A member of an archive; what is left out is a plain file's. Data is latin1. */
export type Member = Partial<TarEntry> & { readonly name: string; readonly data?: string };

/** An archive. */
export function tarOf(members: readonly Member[]): Buffer {
  const pieces: Uint8Array[] = [];
  for (const { data = "", name, ...more } of members) {
    const bytes = Buffer.from(data, "latin1");
    pieces.push(encodeHeader(plainEntry(name, bytes.length, more), true), bytes, paddingFor(bytes.length));
  }
  return Buffer.concat([...pieces, endMark]);
}
