/** What lies in a heap: its key, and where it lies, which is the heap's to write. */
export interface HeapItem {
  readonly tick: number;
  place: number;
}

/** A binary heap, the smallest tick on top; an item leaves from anywhere, in the logarithm of their number. */
export class SlotHeap<T extends HeapItem> {
  readonly #items: T[] = [];

  /** The item with the smallest tick; undefined when there is none. */
  get top(): T | undefined {
    return this.#items[0];
  }

  get size(): number {
    return this.#items.length;
  }

  add(item: T): void {
    this.#put(item, this.#items.length);
    this.#rise(item);
  }

  /** Takes an item out that lies in this heap. */
  remove(item: T): void {
    const last = this.#items.pop()!;
    if (last === item) return;
    this.#put(last, item.place);
    this.#rise(last);
    this.#sink(last);
  }

  clear(): void {
    this.#items.length = 0;
  }

  #put(item: T, place: number): void {
    this.#items[place] = item;
    item.place = place;
  }

  #rise(item: T): void {
    while (item.place > 0) {
      const parent = this.#items[(item.place - 1) >> 1]!;
      if (parent.tick <= item.tick) return;
      this.#swap(parent, item);
    }
  }

  #sink(item: T): void {
    for (;;) {
      const left = this.#items[item.place * 2 + 1];
      const right = this.#items[item.place * 2 + 2];
      const child = right !== undefined && left !== undefined && right.tick < left.tick ? right : left;
      if (child === undefined || child.tick >= item.tick) return;
      this.#swap(item, child);
    }
  }

  #swap(above: T, below: T): void {
    const { place } = above;
    this.#put(above, below.place);
    this.#put(below, place);
  }
}
