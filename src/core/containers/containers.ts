import type { Container } from "../../gen/containerd/services/containers/v1/containers_pb.ts";
import type { Ctx } from "../../lib/ctx.ts";
import type { LabelRecord } from "../../lib/labels.ts";

/** A container among those of all namespaces. */
export interface ContainerName {
  readonly namespace: string;
  readonly id: string;
}

/** The records of containers, as the API's message; each call acts in the context's namespace. */
export interface ContainerStore {
  get(ctx: Ctx, id: string): Container;
  list(ctx: Ctx, filters: readonly string[]): readonly Container[];
  create(ctx: Ctx, container: Container): Promise<Container>;
  update(ctx: Ctx, container: Container, paths: readonly string[]): Promise<Container>;
  delete(ctx: Ctx, id: string): Promise<void>;
  /**
   * Changes labels by what stands there at the moment of the change, as one transaction with it.
   * Shape: `change` answers the labels to set, an empty value to take one away, or undefined to leave all as it is.
   * Errors: what `change` throws; those of `update`. Effects: as `update`; answers undefined, with nothing done, where
   * there is no such container or `change` wants nothing.
   */
  relabel(ctx: Ctx, id: string, change: (stored: Container) => LabelRecord | undefined): Promise<Container | undefined>;
  /** Containers that carry `containerd.io/restart.status`, in order, of all namespaces: so many after that one. */
  supervised(after: ContainerName | undefined, limit: number): readonly ContainerName[];
  /** One of those; undefined where it is not, or carries no such label. */
  findSupervised(name: ContainerName): Container | undefined;
  /** Containers that carry a label of a health check, in order, of all namespaces: so many after that one. */
  checked(after: ContainerName | undefined, limit: number): readonly ContainerName[];
  /** One of those; undefined where it is not, or carries no such label. */
  findChecked(name: ContainerName): Container | undefined;
}
