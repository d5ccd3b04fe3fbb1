import { basename } from "node:path";
import type { Spawner } from "./spawner.ts";

/** The runtimes whose way of starting a created container is known. */
export type RuntimeKind = "runc" | "crun" | "other";

/** Says which runtime a binary is, by its own words, asked once a binary. */
export class RuntimeKinds {
  readonly #spawner: Spawner;
  readonly #known = new Map<string, Promise<RuntimeKind>>();

  constructor(spawner: Spawner) {
    this.#spawner = spawner;
  }

  of(binary: string): Promise<RuntimeKind> {
    let kind = this.#known.get(binary);
    if (kind === undefined) {
      kind = this.#ask(binary);
      this.#known.set(binary, kind);
    }
    return kind;
  }

  async #ask(binary: string): Promise<RuntimeKind> {
    try {
      const { output } = await this.#spawner.run([binary, "--version"], { wantStdout: true });
      const name = /^(\w+) version (\d+)\.(\d+)/.exec(output);
      if (name?.[1] === "runc" && Number(name[2]) === 1) return "runc";
      if (name?.[1] === "crun" && (Number(name[2]) === 1 || basename(binary) === "crun")) return "crun";
      return "other";
    } catch {
      // A binary that cannot be run fails its first real command with the reason.
      return "other";
    }
  }
}
