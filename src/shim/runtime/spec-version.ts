import { existsSync, linkSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseExactJson } from "../../lib/exact-json.ts";
import type { RuntimeKinds } from "./runtime-kind.ts";

/** Any that an old crun takes: it compares nothing but the name of the version, and reads what it knows of the rest. */
const takenVersion = "1.0.2";

/** A bundle whose spec has been read. */
interface ReadBundle {
  readonly bundle: string;
  readonly ociVersion: string;
}

/** A spec in the place of a bundle's own, while a runtime reads it. */
export interface SpecForRuntime extends Disposable {
  /** The file to name to the runtime; undefined where it reads the bundle's own. */
  readonly config: string | undefined;
}

/** The file that createInit names to a runtime that takes no version as new as the bundle's. */
export function loweredConfig(bundle: string): string {
  return join(bundle, "config.lowered.json");
}

function askedConfig(bundle: string): string {
  return join(bundle, "config.asked.json");
}

/**
 * A spec that a runtime takes, beside the bundle's own: what a client reads there says what it asked for.
 * Shape: crun before 1.14.3 refuses each version without "1.0" in it, as clients have written it since runtime-spec 1.2,
 * though it runs what is in the spec. Effects: one file in the bundle until the end of the scope.
 * Source: crun, libcrun_container_create, until commit 0860c0ff; its create takes --config since 0.14.
 */
export async function specForCreate(
  kinds: RuntimeKinds,
  binary: string,
  { bundle, ociVersion }: ReadBundle,
): Promise<SpecForRuntime> {
  const isTaken = isTakenByAll(ociVersion) || !(await kinds.checksSpecVersion(binary));
  const text = isTaken ? undefined : loweredSpec(bundle);
  if (text === undefined) return { config: undefined, [Symbol.dispose]: () => {} };
  const config = loweredConfig(bundle);
  writeFileSync(config, text, { mode: 0o600 });
  return { config, [Symbol.dispose]: () => rmSync(config, { force: true }) };
}

/**
 * The same for a restore, to which no other file can be named: the bundle's own steps aside until the end of the scope.
 * Effects: a host that dies meanwhile leaves it aside; see `takeSpecBack`.
 */
export async function specForRestore(kinds: RuntimeKinds, binary: string, bundle: string): Promise<Disposable> {
  takeSpecBack(bundle);
  const text = (await kinds.checksSpecVersion(binary)) ? loweredSpec(bundle) : undefined;
  if (text === undefined) return { [Symbol.dispose]: () => {} };
  const [own, lowered] = [join(bundle, "config.json"), loweredConfig(bundle)];
  writeFileSync(lowered, text, { mode: 0o600 });
  linkSync(own, askedConfig(bundle));
  renameSync(lowered, own);
  return { [Symbol.dispose]: () => takeSpecBack(bundle) };
}

/** Puts a bundle's own spec back in its place, where a restore left it aside; done twice, it changes nothing. */
export function takeSpecBack(bundle: string): void {
  const asked = askedConfig(bundle);
  if (existsSync(asked)) renameSync(asked, join(bundle, "config.json"));
  // Of two names of one file, as between the link and the rename, rename(2) takes neither away, and succeeds.
  rmSync(asked, { force: true });
  rmSync(loweredConfig(bundle), { force: true });
}

/** The bundle's spec with another version; undefined where it has one that every runtime takes. */
function loweredSpec(bundle: string): string | undefined {
  const spec = parseExactJson(readFileSync(join(bundle, "config.json"), "utf8"));
  if (typeof spec !== "object" || spec === null || !("ociVersion" in spec)) return undefined;
  if (typeof spec.ociVersion !== "string" || isTakenByAll(spec.ociVersion)) return undefined;
  return JSON.stringify({ ...spec, ociVersion: takenVersion });
}

/** One that isn't there is left to the runtime as well. */
function isTakenByAll(ociVersion: string): boolean {
  return ociVersion === "" || ociVersion.includes("1.0");
}
