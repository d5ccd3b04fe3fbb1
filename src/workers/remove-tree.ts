import { rmSync } from "node:fs";
import { messageOf } from "../lib/faults.ts";
import { serveJob } from "./serve-job.ts";

await serveJob<"remove-tree">(({ paths }) => {
  const failures: string[] = [];
  for (const path of paths) {
    try {
      rmSync(path, { recursive: true, force: true });
    } catch (error) {
      failures.push(messageOf(error));
    }
  }
  return { failures };
});
