import { messageOf } from "../../lib/faults.ts";
import { dumpLog, endDump, settleDump } from "../operations/dump.ts";
import type { HostParts } from "../parts.ts";
import { tail } from "../runtime/runtime-log.ts";
import { untilCheckpointEnds } from "../runtime/stray-commands.ts";
import type { DumpRecord } from "../state/records.ts";
import type { Task } from "../task/task.ts";

/** What CRIU writes last, when all of it is on the disk. Source: criu criu/cr-dump.c, cr_dump_finish. */
const lastWords = "Dumping finished successfully";

/**
 * Goes on with a checkpoint in which an earlier host died: its runtime and CRIU need no host, but what a restore must know
 * beside CRIU's images is not written yet.
 * Shape: returns at once; until it is over, the task is locked as in any checkpoint. One that came to nothing leaves the
 * task as it was.
 */
export function resumeDump(parts: HostParts, task: Task, dump: DumpRecord): void {
  finish(parts, task, dump).catch((error: unknown) => {
    const { namespace, id } = task;
    parts.log.error("could not finish a checkpoint", { namespace, id, error: messageOf(error) });
  });
}

async function finish(parts: HostParts, task: Task, dump: DumpRecord): Promise<void> {
  using _lock = await task.lock.exclusive();
  await untilCheckpointEnds(parts, { root: task.runtimeRecord.root, id: task.id });
  const isDumped = tail(dumpLog(dump)).includes(lastWords);
  const { namespace, id } = task;
  let isWhole = false;
  try {
    if (isDumped) await settleDump(parts, task, dump);
    isWhole = isDumped;
  } finally {
    endDump(parts, task, dump, isWhole);
  }
  if (isWhole) parts.log.info("finished a checkpoint in which an earlier host died", { namespace, id });
  else parts.log.warn("a checkpoint in which an earlier host died came to nothing", { namespace, id });
}
