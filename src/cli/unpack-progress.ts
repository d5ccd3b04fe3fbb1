import type { Output } from "./output.ts";
import { type Progress, startProgress } from "./progress.ts";

/** A line of its own for the unpacking of an image, which begins when there is something to unpack; on a terminal only. */
export function unpackProgress(
  output: Output,
  name: string,
): Disposable & { readonly onProgress: (count: number, total: number) => void } {
  let shown: Progress | undefined;
  return {
    onProgress: (count, total) => {
      if (!output.errorTerminal) return;
      shown ??= startProgress(output, `unpacking ${name}`, total);
      shown.at(count);
    },
    [Symbol.dispose]: () => shown?.[Symbol.dispose](),
  };
}
