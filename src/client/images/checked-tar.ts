import { invalidArgument, messageOf, quote } from "../../lib/faults.ts";
import { displayName, type TarEntry, TarError, TarReader } from "../../lib/tar/index.ts";
import { isCompressionError } from "./archive-source.ts";

/**
 * Passes a tar's bytes on as they are and reads them on the way, so that what is no tar is told now and not at the
 * first run.
 * Errors: invalidArgument that names the member: cut off, malformed, empty, or a name that leads out of the folder.
 */
export async function* checkedTar(source: AsyncIterable<Uint8Array>, title: string): AsyncGenerator<Uint8Array> {
  let count = 0;
  let last: string | undefined;
  const entry = (found: TarEntry): void => {
    count += 1;
    last = displayName(found.name);
    if (last.split("/").includes("..")) throw new TarError("leads out of the folder", found.name);
  };
  const reader = new TarReader({ entry, data: () => {}, end: () => {} });
  try {
    for await (const chunk of source) {
      reader.push(chunk);
      yield chunk;
    }
    reader.finish();
  } catch (error) {
    if (!(error instanceof TarError) && !isCompressionError(error)) throw error;
    const at = last === undefined ? "" : ` at ${quote(last)}`;
    const what = count === 0 ? `${title} is no tar archive` : `${title} is broken${at}`;
    throw invalidArgument(`${what}: ${messageOf(error)}`, { cause: error });
  }
  if (count === 0) throw invalidArgument(`${title} is empty`);
}
