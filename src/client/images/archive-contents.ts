import { type ArchiveContents, type BlobSink, readArchive as readInto } from "../../core/oci/index.ts";
import type { Digest } from "../../lib/digest.ts";
import { invalidArgument, isFault, messageOf, quote } from "../../lib/faults.ts";
import type { Client } from "../client.ts";
import { isCompressionError } from "./archive-source.ts";
import { BlobWriter } from "./blob-writer.ts";

export type { ArchiveContents, ArchivedBlob } from "../../core/oci/index.ts";

/**
 * Reads an archive once, from front to back, and writes its blobs into the content store on the way.
 * Shape: `chunks` are the plain tar's bytes. Names are only ever keys of a map, never paths.
 * Errors: invalidArgument that names the member; what the daemon says of a blob.
 */
export async function readArchive(
  client: Client,
  chunks: AsyncIterable<Uint8Array>,
  lease: string,
): Promise<ArchiveContents> {
  let member: string | undefined;
  try {
    return await readInto(chunks, ({ name, expected, sizeBytes }) => {
      member = name;
      // Others are checked by the daemon, when a manifest names them.
      const known = expected?.startsWith("sha256:") === true ? expected : undefined;
      return memberSink(name, new BlobWriter(client, { lease, expected: known, totalBytes: sizeBytes }));
    });
  } catch (error) {
    if (!isCompressionError(error)) throw error;
    const at = member === undefined ? "" : ` at ${quote(member)}`;
    throw invalidArgument(`archive is broken${at}: ${messageOf(error)}`, { cause: error });
  }
}

/** Takes a member's bytes to the daemon; a member that is not what its name says is the archive's fault. */
function memberSink(name: string, writer: BlobWriter): BlobSink {
  return {
    write: (bytes) => writer.write(bytes),
    commit: async () => {
      try {
        const { digest, sizeBytes } = await writer.commit();
        return { digest: digest as Digest, sizeBytes };
      } catch (error) {
        if (!isFault(error, "failedPrecondition")) throw error;
        throw invalidArgument(`archive member ${quote(name)}: ${messageOf(error)}`, { cause: error });
      }
    },
    abort: () => writer.abort(),
  };
}
