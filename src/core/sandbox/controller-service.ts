import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { AnySchema } from "@bufbuild/protobuf/wkt";
import { SandboxCreateSchema, SandboxExitSchema, SandboxStartSchema } from "../../gen/containerd/events/sandbox_pb.ts";
import {
  Controller,
  type ControllerCreateRequest,
  type ControllerStatusResponseSchema,
} from "../../gen/containerd/services/sandbox/v1/sandbox_pb.ts";
import { SandboxSchema } from "../../gen/containerd/types/sandbox_pb.ts";
import type { Ctx } from "../../lib/ctx.ts";
import { FaultError, quote, wrapFault } from "../../lib/faults.ts";
import { anyOf } from "../../wire/any.ts";
import { defineService, type ServiceDefinition, type ServiceImpl } from "../../wire/service.ts";
import type { Exchange } from "../events/index.ts";
import type { SandboxController, SandboxCreation } from "./sandboxes.ts";

export interface SandboxControllerServiceOptions {
  /** By the name of their sandboxer. */
  readonly controllers: ReadonlyMap<string, SandboxController>;
  readonly exchange: Pick<Exchange, "publish">;
}

/**
 * The gRPC face of the sandboxes' controllers. Each Wait tells of the exit, as containerd's does.
 * Source: containerd plugins/services/sandbox/controller_service.go.
 */
export function createSandboxControllerService(options: SandboxControllerServiceOptions): ServiceDefinition {
  return defineService(Controller, createImpl(options));
}

function createImpl({ controllers, exchange }: SandboxControllerServiceOptions): ServiceImpl<typeof Controller> {
  const of = (sandboxer: string): SandboxController => controllerOf(controllers, sandboxer);
  return {
    create: async (ctx, request) => {
      const { sandboxId, sandboxer } = request;
      await of(sandboxer).create(ctx, creationOf(request));
      exchange.publish(
        ctx,
        "/sandboxes/create",
        anyOf(SandboxCreateSchema, create(SandboxCreateSchema, { sandboxId })),
      );
      return { sandboxId };
    },
    start: (ctx, { sandboxId, sandboxer }) => start(ctx, exchange, () => of(sandboxer), sandboxId, sandboxer),
    platform: async (ctx, { sandboxId, sandboxer }) => {
      const platform = await of(sandboxer).platform(ctx, sandboxId);
      return platform === undefined ? {} : { platform };
    },
    stop: async (ctx, { sandboxId, sandboxer, timeoutSecs }) => {
      await of(sandboxer).stop(ctx, sandboxId, timeoutSecs);
      return {};
    },
    wait: async (ctx, { sandboxId, sandboxer }) => {
      ctx.step = `waits for the end of sandbox ${sandboxId}`;
      const exit = await of(sandboxer).wait(ctx, sandboxId);
      const event = create(SandboxExitSchema, { sandboxId, ...exit });
      exchange.publish(ctx, "/sandboxes/exit", anyOf(SandboxExitSchema, event));
      return exit;
    },
    status: (ctx, { sandboxId, sandboxer, verbose }) => status(ctx, of(sandboxer), sandboxId, verbose),
    shutdown: async (ctx, { sandboxId, sandboxer }) => {
      await of(sandboxer).shutdown(ctx, sandboxId);
      return {};
    },
    metrics: async (ctx, { sandboxId, sandboxer }) => {
      const metrics = await of(sandboxer).metrics(ctx, sandboxId);
      return metrics === undefined ? {} : { metrics };
    },
    update: async (ctx, { sandboxId, sandboxer, sandbox, fields }) => {
      const controller = of(sandboxer);
      if (sandbox === undefined) throw new FaultError("unknown", "sandbox can not be nil");
      await controller.update(ctx, sandboxId, sandbox, fields);
      return {};
    },
  };
}

function controllerOf(controllers: ReadonlyMap<string, SandboxController>, name: string): SandboxController {
  if (name === "")
    throw new FaultError("invalidArgument", "invalid argument: sandbox controller name can not be empty");
  const found = controllers.get(name);
  if (found === undefined) throw new FaultError("notFound", `not found: failed to get sandbox controller by ${name}`);
  return found;
}

function creationOf(request: ControllerCreateRequest): SandboxCreation {
  const { sandboxId, rootfs, options, netnsPath, annotations } = request;
  const sandbox = request.sandbox ?? create(SandboxSchema, { sandboxId });
  return { sandbox, rootfs, options, netnsPath, annotations };
}

/** containerd leaves address, version and spec out of its answer. */
async function start(
  ctx: Ctx,
  exchange: Pick<Exchange, "publish">,
  find: () => SandboxController,
  sandboxId: string,
  sandboxer: string,
) {
  const controller = within(`failed to get sandbox controller for ${quote(sandboxer)}`, find);
  const started = await controller.start(ctx, sandboxId).catch((error: unknown) => {
    throw wrapFault(`failed to start sandbox ${quote(sandboxId)}`, error);
  });
  exchange.publish(ctx, "/sandboxes/start", anyOf(SandboxStartSchema, create(SandboxStartSchema, { sandboxId })));
  const { pid, createdAt, labels } = started;
  return { sandboxId, pid, createdAt, labels: { ...labels } };
}

function within<T>(context: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw wrapFault(context, error);
  }
}

/** containerd leaves address and version out of its answer, and never `extra`. */
async function status(
  ctx: Ctx,
  controller: SandboxController,
  sandboxId: string,
  verbose: boolean,
): Promise<MessageInitShape<typeof ControllerStatusResponseSchema>> {
  const { id, pid, state, info, createdAt, exitedAt, extra } = await controller.status(ctx, sandboxId, verbose);
  return {
    sandboxId: id,
    pid,
    state,
    info: { ...info },
    createdAt,
    exitedAt,
    extra: extra ?? create(AnySchema),
  };
}
