import { expect, test } from "bun:test";
import { copyFile, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadConfig } from "../../src/plugin/load-config.ts";

test("the configuration that is packaged reads the drop-ins beside it", async () => {
  const folder = await mkdtemp(join(tmpdir(), "packaged-"));
  try {
    const file = join(folder, "config.toml");
    await copyFile(join(import.meta.dir, "../../packaging/config.toml"), file);
    expect((await loadConfig(file)).top.debug.level).toBe("");
    await mkdir(join(folder, "conf.d"));
    await writeFile(join(folder, "conf.d/level.toml"), 'version = 4\n[debug]\nlevel = "trace"\n');
    expect((await loadConfig(file)).top.debug.level).toBe("trace");
  } finally {
    await rm(folder, { recursive: true });
  }
});
