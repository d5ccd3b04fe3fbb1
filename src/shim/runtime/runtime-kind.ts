import { basename } from "node:path";
import { programVersion } from "../../lib/program-version.ts";
import type { Spawner } from "./spawner.ts";

/** The runtimes whose way of starting a created container is known. */
export type RuntimeKind = "runc" | "crun" | "other";

/** Says which runtime a binary is, by its own words, asked until it has answered once, and again when another is in its place. */
export class RuntimeKinds {
  readonly #spawner: Pick<Spawner, "run">;
  readonly #known = new Map<string, { readonly version: string | undefined; readonly answer: Promise<KnownRuntime> }>();

  constructor(spawner: Pick<Spawner, "run">) {
    this.#spawner = spawner;
  }

  async of(binary: string): Promise<RuntimeKind> {
    return (await this.#about(binary)).kind;
  }

  /** True for a runtime that refuses specs of newer versions than it knows. Source: crun, commit 0860c0ff (1.14.3). */
  async checksSpecVersion(binary: string): Promise<boolean> {
    return (await this.#about(binary)).checksSpecVersion;
  }

  #about(binary: string): Promise<KnownRuntime> {
    const version = programVersion(binary);
    let known = this.#known.get(binary);
    // Of one that is gone for now, what it made is still what it was.
    if (known === undefined || (version !== undefined && known.version !== version)) {
      known = { version, answer: this.#ask(binary) };
      this.#known.set(binary, known);
    }
    return known.answer;
  }

  async #ask(binary: string): Promise<KnownRuntime> {
    try {
      const { exitStatus, output } = await this.#spawner.run([binary, "--version"], { wantStdout: true });
      // Killed, or about to be replaced: another time it says something else.
      if (exitStatus !== 0) this.#known.delete(binary);
      return readVersion(output, binary);
    } catch {
      this.#known.delete(binary);
      // A binary that cannot be run fails its first real command with the reason.
      return { kind: "other", checksSpecVersion: false };
    }
  }
}

interface KnownRuntime {
  readonly kind: RuntimeKind;
  readonly checksSpecVersion: boolean;
}

/** Reads what a runtime says to --version. */
export function readVersion(output: string, binary: string): KnownRuntime {
  const [, name, ...numbers] = /^(\w+) version (\d+)\.(\d+)(?:\.(\d+))?/.exec(output) ?? [];
  const [major = 0, minor = 0, patch = 0] = numbers.map((text) => Number(text ?? 0));
  const checksSpecVersion = name === "crun" && (major < 1 || (major === 1 && minor * 1000 + patch < 14_003));
  if (name === "runc" && major === 1) return { kind: "runc", checksSpecVersion };
  if (name === "crun" && (major === 1 || basename(binary) === "crun")) return { kind: "crun", checksSpecVersion };
  return { kind: "other", checksSpecVersion };
}
