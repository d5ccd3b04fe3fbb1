/** As many bytes have to come before their reader is told again. */
const stepBytes = 256 * 1024;

/** Tells whoever reads a layer's file how far it has come. What is told is the latest: nothing queues up. */
export class LayerGrowth implements AsyncIterable<number | "whole"> {
  #there = 0;
  #end: "whole" | "given up" | undefined;
  #wake: (() => void) | undefined;

  /** So many bytes are there. */
  grow(sizeBytes: number): void {
    this.#there = sizeBytes;
    this.#wake?.();
  }

  /** All is there. */
  finish(): void {
    this.#end ??= "whole";
    this.#wake?.();
  }

  /** No more comes, or no more is wanted. */
  giveUp(): void {
    this.#end ??= "given up";
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<number | "whole"> {
    for (let told = 0; ; ) {
      const there = this.#there;
      if (this.#end === "given up") return;
      if (there - told >= stepBytes || (this.#end === "whole" && there > told)) {
        told = there;
        yield there;
      } else if (this.#end === "whole") {
        yield "whole";
        return;
      } else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }
}
