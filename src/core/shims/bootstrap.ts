import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type Any, AnySchema } from "@bufbuild/protobuf/wkt";
import {
  BootstrapParamsSchema,
  BootstrapResultSchema,
  LogLevel,
} from "../../gen/containerd/runtime/bootstrap/v1/bootstrap_pb.ts";
import { FaultError, messageOf, notImplemented, quote } from "../../lib/faults.ts";
import { apiVersion } from "../../lib/version.ts";
import type { ShimEndpoint } from "./shim.ts";

/** How a shim is reached: what it answered when it was started. */
export interface Bootstrap {
  readonly version: number;
  readonly protocol: string;
  /** `unix:///path`, a bare path (gRPC), or the name of an abstract socket (shims before containerd 1.4). */
  readonly address: string;
}

/** The newest Task API there is. Source: containerd core/runtime/v2/shim.go, CurrentShimVersion. */
const newestVersion = 3;

/** sockaddr_un.sun_path, less the final zero. Source: unix(7). */
const socketPathMax = 107;

const printable = /^[\x20-\x7e\s]+$/;

/**
 * Reads what a shim answered to `start`: an address line, JSON or a BootstrapResult.
 * Shape: the binary form always has control characters (its first field is a small number), the text forms never do.
 * Errors: unknown (nothing of these), notImplemented (a version or protocol that nobody speaks).
 * Source: containerd core/runtime/v2/shim.go, parseStartResponse.
 */
export function parseBootstrap(answer: Uint8Array): Bootstrap {
  const text = Buffer.from(answer.buffer, answer.byteOffset, answer.byteLength).toString("latin1").trim();
  if (text === "") throw new FaultError("unknown", "the shim answered nothing to start");
  const found = printable.test(text) ? ofText(text) : ofBytes(answer);
  const { version, protocol } = found;
  if (version > newestVersion || version < 2) throw notImplemented(`unsupported shim version (${version})`);
  if (protocol !== "ttrpc" && protocol !== "grpc") throw notImplemented(`unexpected protocol: ${quote(protocol)}`);
  if (protocol === "grpc" && version !== newestVersion) {
    throw notImplemented(`containerd client supports only v3 GRPC task service (got ${version})`);
  }
  return found;
}

/**
 * Takes apart the address that a sandbox's controller gives: `ttrpc+unix:///path`, `grpc+vsock://1:2`.
 * Errors: unknown, with containerd's text. Source: containerd core/runtime/v2/shim_manager.go, Start.
 */
export function bootstrapOf({ address, version }: ShimEndpoint): Bootstrap {
  const at = address.indexOf("+");
  if (at >= 0) return { version, protocol: address.slice(0, at), address: address.slice(at + 1) };
  const forms = "the form of <protocol>+<unix|vsock|tcp>, i.e. ttrpc+unix or grpc+vsock";
  throw new FaultError("unknown", `the scheme of sandbox address should be in  ${forms}`);
}

/** As the bundle keeps it, in containerd's form. */
export function formatBootstrap({ version, address, protocol }: Bootstrap): string {
  return JSON.stringify({ version, address, protocol });
}

/** What a shim gets on its standard input at `start`, since containerd 2.3. */
export function bootstrapParams(given: {
  readonly id: string;
  readonly namespace: string;
  readonly grpcAddress: string;
  readonly ttrpcAddress: string;
  readonly binary: string;
  readonly socketDir: string;
  /** Has the shim log as much as it can; newer ones go by this and not by the flag. */
  readonly debug: boolean;
  readonly options: Any | undefined;
}): Uint8Array {
  const message = create(BootstrapParamsSchema, {
    instanceId: given.id,
    namespace: given.namespace,
    logLevel: given.debug ? LogLevel.DEBUG : LogLevel.INFO,
    containerdVersion: apiVersion,
    containerdGrpcAddress: given.grpcAddress,
    containerdTtrpcAddress: given.ttrpcAddress,
    containerdBinary: given.binary,
    extensions: given.options === undefined ? [] : [{ value: given.options }],
    socketDir: given.socketDir,
  });
  return toBinary(BootstrapParamsSchema, message);
}

/** The same before containerd 2.3: the runtime's options alone. */
export function plainOptions(options: Any | undefined): Uint8Array {
  return options === undefined ? new Uint8Array() : toBinary(AnySchema, options);
}

/**
 * The path of a shim's unix socket; that of an abstract one begins with a NUL.
 * Errors: notImplemented (vsock and what else is no unix socket), unknown (no path, or one too long).
 */
export function socketPathOf({ address, protocol }: Bootstrap): string {
  const at = address.indexOf("://");
  const scheme = at < 0 ? "unix" : address.slice(0, at);
  if (scheme !== "unix") throw notImplemented(`unsupported protocol: ${scheme}`);
  const named = at < 0 ? address : address.slice(at + 3);
  // A bare name is an abstract socket, but gRPC's addresses are paths.
  const path = at < 0 && protocol === "ttrpc" ? `\0${named}` : named;
  const isPath = path.startsWith("/") || (path.startsWith("\0") && path.length > 1);
  if (!isPath || Buffer.byteLength(path) > socketPathMax) {
    throw new FaultError("unknown", `the shim's address ${quote(address)} is no path of a socket`);
  }
  return path;
}

function ofText(text: string): Bootstrap {
  if (!text.startsWith("{")) return { version: 2, protocol: "ttrpc", address: text };
  try {
    const { version, protocol, address } = JSON.parse(text) as Record<string, unknown>;
    if (typeof version !== "number" || !Number.isInteger(version)) throw new TypeError("no version");
    if (typeof address !== "string" || address === "") throw new TypeError("no address");
    return { version, address, protocol: typeof protocol === "string" ? protocol.toLowerCase() : "" };
  } catch (error) {
    throw unreadable(error);
  }
}

function ofBytes(answer: Uint8Array): Bootstrap {
  try {
    const { version, protocol, address } = fromBinary(BootstrapResultSchema, answer);
    return { version, address, protocol: protocol.toLowerCase() };
  } catch (error) {
    throw unreadable(error);
  }
}

function unreadable(error: unknown): FaultError {
  return new FaultError("unknown", `the shim's answer to start can't be read: ${messageOf(error)}`, { cause: error });
}
