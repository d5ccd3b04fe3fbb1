import { fromBinary } from "@bufbuild/protobuf";
import { AnySchema } from "@bufbuild/protobuf/wkt";
import { Events } from "../../gen/containerd/services/events/v1/events_pb.ts";
import { FaultError, messageOf } from "../../lib/faults.ts";
import { connectGrpc } from "../../wire/grpc/index.ts";
import type { DaemonOptions } from "../config/options.ts";
import { socketPath } from "../listeners/sockets.ts";

/** A shim that is told nothing for so long gives up its event. */
const answerLimitMs = 10_000;

/**
 * Publishes an event for a shim that can't itself: the event's Any comes on the standard input.
 * Errors: invalidArgument (no topic, no event), unavailable (no daemon), what the daemon says.
 * Source: containerd cmd/containerd/command/publish.go.
 */
export async function publish(
  { topic, namespace }: DaemonOptions,
  address: string,
  payload: Uint8Array,
): Promise<void> {
  if (topic === "") throw new FaultError("invalidArgument", "topic required to publish event: invalid argument");
  const event = readEvent(payload);
  await using connection = await connectGrpc({ path: socketPath(address) });
  await connection.client(Events).publish({ topic, event }, { namespace, timeoutMs: answerLimitMs });
}

function readEvent(payload: Uint8Array) {
  try {
    return fromBinary(AnySchema, payload);
  } catch (error) {
    throw new FaultError("invalidArgument", `the event on the standard input: ${messageOf(error)}`, { cause: error });
  }
}
