import type { Piece } from "../gen/lighter/debug/v1/debug_pb.ts";
import type { Output } from "./output.ts";
import { writeWholeFile } from "./partial-file.ts";
import { startProgress } from "./progress.ts";
import { styleOf } from "./style.ts";
import { formatBytes } from "./units.ts";

/** Writes what the daemon sends into a file, and says how to look at it. Effects: the file is there whole or not at all. */
export async function writeDebugFile(
  output: Output,
  file: string,
  pieces: AsyncIterable<Piece>,
  how: string,
): Promise<void> {
  let size = 0;
  using progress = startProgress(output, `writing ${file}`, undefined);
  const bytes = async function* (): AsyncGenerator<Uint8Array> {
    for await (const { data } of pieces) yield data;
  };
  await writeWholeFile(file, bytes(), (count) => {
    size += count;
    progress.at(size);
  });
  progress[Symbol.dispose]();
  output.line(`${file} (${formatBytes(size)})`);
  output.line(styleOf(output.color).dim(how));
}
