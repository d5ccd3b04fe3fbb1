/** The last few stream ids that were noted; the oldest makes room. */
export class RecentIds {
  readonly #ids: Int32Array;
  #next = 0;

  constructor(size: number) {
    this.#ids = new Int32Array(size);
  }

  add(id: number): void {
    this.#ids[this.#next] = id;
    this.#next = (this.#next + 1) % this.#ids.length;
  }

  has(id: number): boolean {
    return this.#ids.includes(id);
  }
}
