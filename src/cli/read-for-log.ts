import { dirname } from "node:path";
import { waitProcess } from "../client/containers/tasks.ts";
import { openFifos, type StdioPaths } from "../client/stdio/fifo-set.ts";
import { type OutputPump, pumpOutput } from "../client/stdio/output-pump.ts";
import type { Container } from "../gen/containerd/services/containers/v1/containers_pb.ts";
import { createFdWatcher, createKernel } from "../sys/index.ts";
import type { CommandContext } from "./command.ts";
import { logOf, openTee } from "./container-log.ts";
import { claimOutput } from "./output-reader.ts";

/** How long output may stay silent after the container's end. */
const quietMs = 300;

/**
 * Reads a container's output for its log alone, until it ends or somebody attaches (SIGTERM).
 * Effects: a byte that was read is in the log before the signal is looked at.
 */
export async function readForLog(context: CommandContext, container: Container, paths: StdioPaths): Promise<number> {
  const told = Promise.withResolvers<"told">();
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, () => told.resolve("told"));
  const kernel = createKernel();
  claimOutput(context, dirname(paths.stdout), "log");
  using fifos = openFifos({ ...paths, stdin: "" }, { folder: "", hold: false });
  using tee = openTee(context, kernel, logOf(context, container));
  const failed = Promise.withResolvers<never>();
  failed.promise.catch(() => {});
  using watcher = createFdWatcher({ kernel, onError: (error) => failed.reject(error as Error) });
  const pumps: OutputPump[] = [];
  using _pumps = { [Symbol.dispose]: () => pumps.forEach((pump) => pump[Symbol.dispose]()) };
  for (const stream of ["stdout", "stderr"] as const) {
    const fd = fifos[stream];
    if (fd !== undefined) pumps.push(pumpOutput(fd, { kernel, watcher, write: (bytes) => tee?.append(bytes, stream) }));
  }
  const end = await Promise.race([waitProcess(context.client, container.id), told.promise, failed.promise]);
  if (end !== "told") await Promise.all(pumps.map((pump) => pump.drain(quietMs)));
  return 0;
}
