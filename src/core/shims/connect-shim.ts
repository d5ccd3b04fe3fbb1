import { Task as TaskV2 } from "../../gen/containerd/task/v2/shim_pb.ts";
import { Task as TaskV3 } from "../../gen/containerd/task/v3/shim_pb.ts";
import { isFault, unavailable } from "../../lib/faults.ts";
import { connectGrpc } from "../../wire/grpc/index.ts";
import type { ClientConnection } from "../../wire/service.ts";
import { connectTtrpc } from "../../wire/ttrpc/index.ts";
import { type Bootstrap, socketPathOf } from "./bootstrap.ts";
import type { ShimConnection } from "./shim.ts";

/** A connection to a shim of somebody else's, with the version of the Task API that it turned out to speak. */
export interface OpenedShim extends ShimConnection {
  readonly version: number;
}

/**
 * Connects to a shim, and asks whether it serves the version that it says: a program may be newer than the process that
 * it sends its callers to, which then speaks the older one.
 * Shape: `answerLimitMs` is for the connection, and again for the answer.
 * Errors: unavailable (nobody answers in time), notImplemented (no unix socket), unknown.
 * Source: containerd core/runtime/v2/shim.go, makeConnection and clientVersionDowngrader.
 */
export async function connectShim(
  id: string,
  namespace: string,
  bootstrap: Bootstrap,
  answerLimitMs: number,
): Promise<OpenedShim> {
  const path = socketPathOf(bootstrap);
  const raw = await open(path, bootstrap.protocol, answerLimitMs);
  try {
    const { version } = bootstrap;
    const serves = version === 2 || (await servesNewest(raw, { id, namespace, answerLimitMs }));
    return new Opened(raw, serves ? version : 2);
  } catch (error) {
    await raw[Symbol.asyncDispose]();
    throw error;
  }
}

async function open(path: string, protocol: string, answerLimitMs: number): Promise<ClientConnection> {
  const opening = protocol === "grpc" ? connectGrpc({ path }) : connectTtrpc({ path });
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(unavailable(`no answer at ${path} within ${answerLimitMs} ms`)), answerLimitMs);
  });
  try {
    return await Promise.race([opening, late]);
  } catch (error) {
    void opening.then((connection) => connection[Symbol.asyncDispose]()).catch(() => undefined);
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/** Any answer but "not implemented" says that the service is there. */
async function servesNewest(
  raw: ClientConnection,
  { id, namespace, answerLimitMs }: { readonly id: string; readonly namespace: string; readonly answerLimitMs: number },
): Promise<boolean> {
  try {
    await raw.client(TaskV3).connect({ id }, { namespace, timeoutMs: answerLimitMs });
  } catch (error) {
    if (isFault(error, "notImplemented")) return false;
    if (isFault(error, "unavailable") || isFault(error, "deadlineExceeded")) throw error;
  }
  return true;
}

class Opened implements OpenedShim {
  readonly task: OpenedShim["task"];
  readonly client: OpenedShim["client"];
  readonly version: number;
  readonly closed: Promise<void>;
  readonly #raw: ClientConnection;
  #lost = false;

  constructor(raw: ClientConnection, version: number) {
    this.#raw = raw;
    this.version = version;
    // The messages of v2 are those of v3 under another package; only the names differ.
    this.task = version === 2 ? (raw.client(TaskV2) as unknown as OpenedShim["task"]) : raw.client(TaskV3);
    this.client = (desc, defaults) => raw.client(desc, defaults);
    this.closed = raw.closed.then(() => {
      this.#lost = true;
    });
  }

  get lost(): boolean {
    return this.#lost;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#raw[Symbol.asyncDispose]();
  }
}
