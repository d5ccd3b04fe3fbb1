/** A token bucket: so many at once, so many a second on the long run. The clock is read only when it runs dry. */
export class RateLimit {
  readonly #burst: number;
  readonly #perSecond: number;
  readonly #now: () => number;
  #tokens: number;
  #filledAt: number;

  constructor(burst: number, perSecond: number, now: () => number = () => performance.now()) {
    this.#burst = burst;
    this.#perSecond = perSecond;
    this.#now = now;
    this.#tokens = burst;
    this.#filledAt = now();
  }

  /** Takes one; false when there was none left. */
  take(): boolean {
    if (this.#tokens < 1) {
      const now = this.#now();
      const gained = ((now - this.#filledAt) * this.#perSecond) / 1000;
      this.#tokens = Math.min(this.#burst, this.#tokens + gained);
      this.#filledAt = now;
      if (this.#tokens < 1) return false;
    }
    this.#tokens--;
    return true;
  }
}
