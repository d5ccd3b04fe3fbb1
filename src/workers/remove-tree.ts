import { rmSync } from "node:fs";
import { serveJob } from "./serve-job.ts";

await serveJob<"remove-tree">(({ path }) => {
  rmSync(path, { recursive: true, force: true });
  return {};
});
