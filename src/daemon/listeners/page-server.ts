import type { Logger } from "../../lib/log.ts";
import { createKernel, type Fd } from "../../sys/index.ts";
import type { HttpPlace, HttpService } from "./http-listener.ts";
import { graceMs, type Server } from "./server.ts";
import { shownPlace } from "./tcp-place.ts";

export interface PageServerOptions {
  /** Tells the sockets of one daemon apart, in the log too. */
  readonly name: string;
  readonly place: HttpPlace;
  readonly log: Logger;
  readonly scope: AsyncDisposableStack;
}

/** A server of pages over HTTP. Shape: `load` makes ready what answers, once the socket is there, which it is given to own. */
export function pageServer(
  { name, place, log, scope }: PageServerOptions,
  load: () => Promise<(fd: Fd) => HttpService>,
): Server {
  let service: HttpService | undefined;
  return {
    open: async (listeners) => {
      // Loaded only where a page is served.
      const { openHttpPlace } = await import("./http-listener.ts");
      const serve = await load();
      const kernel = createKernel();
      const fd = await openHttpPlace(listeners, name, place);
      let isTaken = false;
      scope.defer(() => {
        if (!isTaken) kernel.close(fd);
      });
      return () => {
        isTaken = true;
        const address = shownPlace(fd, kernel);
        service = scope.use(serve(fd));
        log.info(`serving ${name}`, { address });
      };
    },
    close: async () => service?.close(graceMs),
  };
}
