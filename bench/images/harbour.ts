import fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { runOk } from "../../test/support/index.ts";
import { startRegistry } from "../../test/support/registry.ts";
import type { BigImage } from "./big-image.ts";

/** An image, in an archive and in a registry. */
export interface Harbour extends AsyncDisposable {
  readonly image: BigImage;
  readonly folder: string;
  readonly reference: string;
}

/** Makes an image and a registry that has it. */
export async function openHarbour(make: (folder: string) => Promise<BigImage>): Promise<Harbour> {
  await using made = new AsyncDisposableStack();
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), "lighter-bench-"));
  made.defer(() => fs.rm(folder, { recursive: true, force: true }));
  const image = await make(folder);
  const registry = made.use(await startRegistry({ folder: path.join(folder, "registry") }));
  const reference = `${registry.host}/bench/big:1`;
  const copy = ["skopeo", "copy", "--dest-tls-verify=false", `oci-archive:${image.archive}`, `docker://${reference}`];
  await runOk(copy, { timeoutMs: 300_000 });
  const owned = made.move();
  return { image, folder, reference, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
