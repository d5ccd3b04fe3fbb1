import type { Container } from "../../gen/containerd/services/containers/v1/containers_pb.ts";
import type { Ctx } from "../../lib/ctx.ts";

/** The records of containers, as the API's message; each call acts in the context's namespace. */
export interface ContainerStore {
  get(ctx: Ctx, id: string): Container;
  list(ctx: Ctx, filters: readonly string[]): readonly Container[];
  create(ctx: Ctx, container: Container): Promise<Container>;
  update(ctx: Ctx, container: Container, paths: readonly string[]): Promise<Container>;
  delete(ctx: Ctx, id: string): Promise<void>;
}
