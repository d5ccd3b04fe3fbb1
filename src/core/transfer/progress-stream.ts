import type { Any } from "@bufbuild/protobuf/wkt";
import type { Ctx } from "../../lib/ctx.ts";
import { messageOf } from "../../lib/faults.ts";
import type { Stream } from "../streaming/index.ts";
import type { OnTransferProgress, TransferProgress } from "./transfer.ts";

/** With more than this unsent, what only says how far something is goes untold. */
const droppableFrom = 64;
/** With more than this the client does not read at all. */
const maxUnsent = 16_384;
const droppable: ReadonlySet<string> = new Set(["downloading", "uploading", "importing", "extracting", "copying"]);

/** Where a transfer's progress is told; disposing it sends what is unsent and ends the stream. */
export interface ProgressStream extends AsyncDisposable {
  readonly tell: OnTransferProgress;
}

export function openProgressStream(
  ctx: Ctx,
  stream: Stream,
  encode: (progress: TransferProgress) => Any,
): ProgressStream {
  let unsent = 0;
  let broken = false;
  let last = Promise.resolve();
  return {
    tell: (progress) => {
      if (broken || unsent >= maxUnsent || (unsent >= droppableFrom && droppable.has(progress.event))) return;
      unsent++;
      last = last
        .then(() => (broken ? undefined : stream.send(encode(progress))))
        .catch((error: unknown) => {
          broken = true;
          ctx.log.debug("progress is not told any more", { error: messageOf(error) });
        })
        .finally(() => {
          unsent--;
        });
    },
    [Symbol.asyncDispose]: async () => {
      await last;
      stream.close();
    },
  };
}
