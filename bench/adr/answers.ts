import { create } from "@bufbuild/protobuf";
import {
  type VersionResponse,
  VersionResponseSchema,
} from "../../src/gen/containerd/services/version/v1/version_pb.ts";
import { type Envelope, EnvelopeSchema } from "../../src/gen/containerd/types/event_pb.ts";

interface Answers {
  readonly version: VersionResponse;
  readonly event: Envelope;
  /** How many of them a stream has. */
  readonly events: number;
}

/** What both servers of ADR 4 answer with. */
export const answers: Answers = {
  version: create(VersionResponseSchema, { version: "1", revision: "1" }),
  event: create(EnvelopeSchema, { topic: "/t", event: { typeUrl: "t", value: new Uint8Array(1_000_000) } }),
  events: 60,
};
