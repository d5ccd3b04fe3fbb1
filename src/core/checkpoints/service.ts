import { create } from "@bufbuild/protobuf";
import { CheckpointSchema, Checkpoints } from "../../gen/lighter/checkpoints/v1/checkpoints_pb.ts";
import { defineService, type ServiceDefinition } from "../../wire/service.ts";
import type { NamedCheckpoints } from "./checkpoints.ts";

/** lighter.checkpoints.v1.Checkpoints over the named checkpoints. */
export function createCheckpointsService({ checkpoints }: { checkpoints: NamedCheckpoints }): ServiceDefinition {
  return defineService(Checkpoints, {
    async create(ctx, { checkpoint }) {
      return { checkpoint: await checkpoints.create(ctx, checkpoint ?? create(CheckpointSchema)) };
    },
    get: (ctx, { containerId, name }) => ({ checkpoint: checkpoints.get(ctx, containerId, name) }),
    list: (ctx, { containerId }) => ({ checkpoints: [...checkpoints.list(ctx, containerId)] }),
    async delete(ctx, { containerId, name }) {
      await checkpoints.delete(ctx, containerId, name);
      return {};
    },
  });
}
