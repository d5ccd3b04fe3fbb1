import { GRPC, LIGHTER_GRPC } from "../../core/tokens.ts";
import { failedPrecondition, wrapFault } from "../../lib/faults.ts";
import type { Logger } from "../../lib/log.ts";
import {
  type ConfigSchema,
  definePlugin,
  leaf,
  optional,
  type PluginDefinition,
  SkipPlugin,
  table,
  text,
} from "../../plugin/index.ts";
import { closeQuietly, createKernel, type Fd, type Kernel } from "../../sys/index.ts";
import { createGrpcServer, type GrpcServer, observers, type ServerTls } from "../../wire/grpc/index.ts";
import type { CallsServer } from "../debug/calls-under-way.ts";
import type { Listeners } from "../listeners/listeners.ts";
import { graceMs, SERVER } from "../listeners/server.ts";
import { openTcpPlace, shownPlace, tcpPlaceOf } from "../listeners/tcp-place.ts";
import { callMetricsToken } from "../metrics/plugin.ts";
import { tracingToken } from "../tracing/plugin.ts";
import { endingOf } from "./call-endings.ts";
import { limitsOf, messageSizes } from "./message-limits.ts";
import type { TlsFiles } from "./tls-files.ts";

/** `HOST:PORT`, `:PORT` for every address of the machine; empty for none. Source: Go's net.Listen. */
const tcpAddress: ConfigSchema<string> = leaf({
  expects: "an address HOST:PORT",
  example: '"127.0.0.1:10010"',
  fallback: "",
  take: (value) => (typeof value === "string" && (value === "" || tcpPlaceOf(value) !== undefined) ? value : undefined),
});

const settings = table({
  address: tcpAddress,
  tls_ca: text("", "/etc/lighter/tls/ca.pem"),
  tls_cert: text("", "/etc/lighter/tls/server.pem"),
  tls_key: text("", "/etc/lighter/tls/server-key.pem"),
  tls_common_name: text("", "build-server"),
  ...messageSizes,
});
type Settings = ReturnType<typeof settings.decode>;

/**
 * The whole API over TCP, for clients alone that show a certificate of the configured CA's: whoever speaks with it is root.
 * `tls_common_name`, which means a store of Windows' under containerd, lets in one client of that name alone.
 * Source: containerd plugins/server/grpc/plugin.go, whose TCP socket has the CRI alone, and without certificates too.
 */
export const tcpServer: PluginDefinition = definePlugin({
  type: SERVER,
  id: "grpc-tcp",
  requires: { apis: GRPC, ours: LIGHTER_GRPC, metrics: optional(callMetricsToken), tracing: optional(tracingToken) },
  config: settings,
  live: ["tls_ca", "tls_cert", "tls_key", "tls_common_name", "max_recv_message_size", "max_send_message_size"],
  init: async ({ apis, ours, metrics, tracing }, { config, log, scope, onReload }): Promise<CallsServer> => {
    if (config.address === "") throw new SkipPlugin("no address");
    const files = await readFiles(config, log);
    const services = [...apis.values(), ...ours.values()].flatMap((api) => api.grpc);
    const observer = observers([metrics, tracing].filter((one) => one !== undefined));
    const server = createGrpcServer({ services, log, observer, ending: endingOf, limits: limitsOf(config) });
    scope.defer(() => server.close(0));
    const socket = scope.use(new TcpSocket(server, createKernel(), tlsOf(config, files, log)));
    onReload(async (next) => {
      const tls = tlsOf(next, await readFiles(next, log), log);
      return () => {
        server.limitMessages(limitsOf(next));
        socket.changeTo(tls, log);
      };
    });
    return {
      calls: () => server.calls(),
      close: (quiet) => server.close(graceMs, quiet),
      open: async (listeners) => {
        const address = await socket.open(listeners, config.address);
        return () => {
          socket.begin();
          log.info("serving gRPC over TLS", { address });
        };
      },
    };
  },
});

/** A listening socket, served by the certificates of now. */
class TcpSocket implements Disposable {
  readonly #server: GrpcServer;
  readonly #kernel: Kernel;
  #tls: ServerTls;
  #fd: Fd | undefined;
  #serving: Disposable | undefined;

  constructor(server: GrpcServer, kernel: Kernel, tls: ServerTls) {
    this.#server = server;
    this.#kernel = kernel;
    this.#tls = tls;
  }

  /** Answers the address that it has. */
  async open(listeners: Listeners, address: string): Promise<string> {
    try {
      this.#fd = await openTcpPlace(listeners, "grpc-tcp", tcpPlaceOf(address) ?? { host: "", port: 0 });
    } catch (error) {
      throw wrapFault(`listen on tcp ${address}`, error);
    }
    return shownPlace(this.#fd, this.#kernel);
  }

  begin(): void {
    this.#serving = this.#serve();
  }

  /** Who has connected stays; who comes from now on meets the new certificates. Nobody is refused meanwhile. */
  changeTo(tls: ServerTls, log: Logger): void {
    const [tlsBefore, before] = [this.#tls, this.#serving];
    this.#tls = tls;
    if (before === undefined) return;
    try {
      this.#serving = this.#serve();
      before[Symbol.dispose]();
    } catch (error) {
      this.#tls = tlsBefore;
      log.error("the new certificates cannot be served, the old ones stay", { error });
    }
  }

  /** A server owns what it listens on: it gets a copy, so that the next one finds the socket still there. */
  #serve(): Disposable {
    const fd = this.#kernel.duplicate(this.#fd ?? -1);
    try {
      return this.#server.serve({ fd, tls: this.#tls });
    } catch (error) {
      closeQuietly(this.#kernel, fd);
      throw error;
    }
  }

  [Symbol.dispose](): void {
    if (this.#fd !== undefined) closeQuietly(this.#kernel, this.#fd);
    this.#fd = undefined;
  }
}

/** Errors: failedPrecondition (a key is missing: then nothing is served), invalidArgument (a file cannot be used). */
async function readFiles(config: Settings, log: Logger): Promise<TlsFiles> {
  const missing = (["tls_cert", "tls_key", "tls_ca"] as const).filter((key) => config[key] === "");
  if (missing.length > 0)
    throw failedPrecondition(
      `whoever speaks with the API is root: it is served on TCP only to clients with certificates; set ${missing.join(", ")}`,
    );
  // Cryptography is loaded only where it is asked for.
  const { readTlsFiles } = await import("./tls-files.ts");
  const files = await readTlsFiles(config);
  if (files.validUntil.getTime() < Date.now())
    log.warn("the server's certificate has expired", { file: config.tls_cert, until: files.validUntil.toISOString() });
  return files;
}

function tlsOf(config: Settings, { cert, key, ca }: TlsFiles, log: Logger): ServerTls {
  const only = config.tls_common_name;
  return {
    cert,
    key,
    ca,
    admits: (commonName) => only === "" || commonName === only,
    refused: (why, commonName) => log.warn("a client on TCP was refused", { why, commonName }),
  };
}
