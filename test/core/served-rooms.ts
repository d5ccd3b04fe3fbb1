import { chmod } from "node:fs/promises";
import path from "node:path";
import { containersSchema, createContainerStore, createContainersService } from "../../src/core/containers/index.ts";
import { createEventsService, createExchange, type Exchange } from "../../src/core/events/index.ts";
import { createImageStore, createImagesService, imagesSchema } from "../../src/core/images/index.ts";
import { createLeaseManager, createLeasesService, leasesSchema } from "../../src/core/leases/index.ts";
import { openMetadata } from "../../src/core/metadata/index.ts";
import { createNamespaceStore, createNamespacesService, namespacesSchema } from "../../src/core/namespaces/index.ts";
import { createVersionService } from "../../src/core/version/index.ts";
import { silentLogger } from "../../src/lib/log.ts";
import { createGrpcServer } from "../../src/wire/grpc/index.ts";
import { createWorkspace } from "../support/index.ts";

/** The metadata rooms alone, served on a socket as the daemon serves them. */
export interface ServedRooms extends AsyncDisposable {
  readonly address: string;
  readonly exchange: Exchange;
  /** How many times a synchronous delete asked for garbage collection. */
  readonly collections: () => number;
}

export async function serveRooms(): Promise<ServedRooms> {
  await using stack = new AsyncDisposableStack();
  const workspace = stack.use(await createWorkspace());
  await chmod(workspace.folder, 0o711);
  const metadata = stack.use(
    openMetadata({
      path: path.join(workspace.folder, "meta.sqlite"),
      schemas: [namespacesSchema, leasesSchema, containersSchema, imagesSchema],
    }),
  );
  let collections = 0;
  const collectGarbage = async (): Promise<void> => {
    collections += 1;
  };
  const exchange = createExchange({ log: silentLogger });
  const namespaces = createNamespaceStore({ metadata, exchange });
  const leases = createLeaseManager({ metadata });
  const containers = createContainerStore({ metadata, exchange, namespaces });
  const images = createImageStore({ metadata, exchange, leases, namespaces });
  const server = createGrpcServer({
    services: [
      createVersionService(),
      createEventsService({ exchange }),
      createNamespacesService({ store: namespaces }),
      createLeasesService({ manager: leases, collectGarbage }),
      createContainersService({ store: containers }),
      createImagesService({ store: images, collectGarbage }),
    ],
  });
  const address = path.join(workspace.folder, "rooms.sock");
  await server.listen({ path: address });
  stack.defer(() => server.close(1000));
  const owned = stack.move();
  return { address, exchange, collections: () => collections, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
