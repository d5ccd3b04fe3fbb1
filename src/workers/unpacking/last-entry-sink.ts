import type { ByteString, TarEntry, TarSink } from "../../lib/tar/index.ts";

/** Remembers the last member, so that what goes wrong after it can be placed. */
export class LastEntrySink implements TarSink {
  last: ByteString | undefined;
  readonly #sink: TarSink;

  constructor(sink: TarSink) {
    this.#sink = sink;
  }

  entry(entry: TarEntry): void {
    this.last = entry.name;
    this.#sink.entry(entry);
  }

  data(bytes: Uint8Array, offset: number): void {
    this.#sink.data(bytes, offset);
  }

  end(): void {
    this.#sink.end();
  }
}
