import type { Ctx } from "../../lib/ctx.ts";
import { messageOf, wrapFault } from "../../lib/faults.ts";
import { type MountManager, type MountSpec, needsManager } from "../mounts/index.ts";
import type { Differ } from "./differ.ts";

type Manager = Pick<MountManager, "activate" | "deactivate">;

/**
 * The same differ, for which the mount manager makes what the kernel can't mount as it is.
 * Shape: a single mount is handed on as it is, as in containerd.
 * Errors: as the differ's, and what the manager says after `failed to activate mounts`.
 * Effects: what was made goes with the call; should the daemon die before, with the call's lease or the next collection.
 * Source: containerd core/diff/apply/apply.go, Apply.
 */
export function withManagedMounts(differ: Differ, manager: Manager): Differ {
  const methods: Differ = {
    apply: (ctx, layer, mounts, options) =>
      withMade(ctx, manager, mounts, (made) => differ.apply(ctx, layer, made, options)),
    compare: (ctx, lower, upper, options) => differ.compare(ctx, lower, upper, options),
    takesStream: (mediaType) => differ.takesStream?.(mediaType) === true,
  };
  // Whether there are these two says what the differ can do.
  if (differ.settle !== undefined) {
    methods.settle = (ctx, mounts, options) =>
      withMade(ctx, manager, mounts, async (made) => differ.settle?.(ctx, made, options));
  }
  if (differ.forImage !== undefined) methods.forImage = () => ofImage(differ, manager);
  return methods;
}

function ofImage(differ: Differ, manager: Manager): Differ & AsyncDisposable {
  const own = differ.forImage?.();
  const managed = withManagedMounts(own ?? differ, manager);
  return { ...managed, [Symbol.asyncDispose]: async () => own?.[Symbol.asyncDispose]() };
}

async function withMade<T>(
  ctx: Ctx,
  manager: Manager,
  mounts: readonly MountSpec[],
  action: (mounts: readonly MountSpec[]) => Promise<T>,
): Promise<T> {
  if (mounts.length < 2 || !needsManager(mounts)) return action(mounts);
  await using made = new AsyncDisposableStack();
  const name = `fs-diffapply-${crypto.randomUUID()}`;
  const activation = await manager
    .activate(ctx, { name, mounts, labels: new Map(), temporary: false })
    .catch((error: unknown) => {
      throw wrapFault("failed to activate mounts", error);
    });
  made.defer(() =>
    manager.deactivate(ctx, name).catch((error: unknown) => {
      ctx.log.warn("mounts of a layer can't be taken away yet", { name, error: messageOf(error) });
    }),
  );
  return await action(activation.system);
}
