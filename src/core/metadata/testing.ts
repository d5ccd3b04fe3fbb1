import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Metadata, openMetadata, type SchemaPart } from "./index.ts";

/** A real database in a folder of its own, for the tests of rooms; disposing it removes both. */
export interface TestMetadata extends AsyncDisposable {
  readonly metadata: Metadata;
}

export function openTestMetadata(schemas: readonly SchemaPart[]): TestMetadata {
  const folder = mkdtempSync(join(tmpdir(), "lighter-metadata-"));
  const metadata = openMetadata({ path: join(folder, "meta.sqlite"), schemas });
  return {
    metadata,
    [Symbol.asyncDispose]: async () => {
      await metadata[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
