import { create } from "@bufbuild/protobuf";
import { type Status, StatusSchema } from "../gen/google/rpc/status_pb.ts";
import { FaultError, messageOf } from "../lib/faults.ts";
import { codeOf } from "./codes.ts";

export { faultOf, grpcCodes } from "./codes.ts";

/** What a call that threw this answers. Applied once per call, by the dispatchers of gRPC and ttrpc. */
export function statusOf(error: unknown): Status {
  const code = error instanceof FaultError ? codeOf[error.kind] : 2;
  return create(StatusSchema, { code, message: messageOf(error) });
}
