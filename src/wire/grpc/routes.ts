import type { DescMethod } from "@bufbuild/protobuf";
import { FaultError, fault, quote } from "../../lib/faults.ts";
import { parseTimeout, timeoutProblem } from "../grpc-timeouts.ts";
import { type HeaderBlock, type HeaderFields, headerValue } from "../http2/index.ts";
import type { ServiceDefinition } from "../service.ts";
import { grpcCodes } from "../status.ts";
import { MessageEncoder } from "./message-encoder.ts";

/** A method that is served. */
export interface Route {
  readonly method: DescMethod;
  readonly answers: MessageEncoder;
  /** A request is the implementation's only until it asks for the next. */
  readonly borrows: boolean;
  /** The implementation, with its types forgotten; they were checked where the service was defined. */
  readonly call: (ctx: unknown, input: unknown) => unknown;
}

/** Why a request is not served at all. */
export interface Rejection {
  readonly httpStatus: string;
  readonly code: number;
  readonly message: string;
}

/** What a request's headers mean to gRPC. Made once for all requests that send the same header block. */
export interface RequestHead {
  readonly route: Route | undefined;
  readonly rejection: Rejection | undefined;
  readonly timeoutMs: number | undefined;
  readonly namespace: string | undefined;
  readonly lease: string | undefined;
  readonly fields: HeaderFields;
  metadata: ReadonlyMap<string, string> | undefined;
}

const namespaceField = "containerd-namespace";
const leaseField = "containerd-lease";
const code = (name: (typeof grpcCodes)[number]): number => grpcCodes.indexOf(name);

/** The methods of all services of a server, by path. Shape: a service's are looked at once one of them is asked for. */
export class Routes {
  readonly #routes = new Map<string, Route>();
  readonly #services = new Map<string, ServiceDefinition>();
  readonly #opened = new Set<ServiceDefinition>();

  constructor(services: readonly ServiceDefinition[]) {
    for (const service of services) {
      const name = service.desc.typeName;
      if (this.#services.has(name)) throw fault("alreadyExists", `service ${quote(name)}`);
      this.#services.set(name, service);
    }
  }

  /** Reads a request's headers, or what was read from the same block before. */
  head(block: HeaderBlock): RequestHead {
    block.attachment ??= this.#read(block.fields);
    return block.attachment as RequestHead;
  }

  #read(fields: HeaderFields): RequestHead {
    const path = headerValue(fields, ":path") ?? "";
    const timeout = headerValue(fields, "grpc-timeout");
    const timeoutMs = timeout === undefined ? undefined : parseTimeout(timeout);
    const route = this.#routes.get(path) ?? this.#open(path);
    return {
      route,
      rejection: rejectionOf(fields, timeout !== undefined && timeoutMs === undefined) ?? this.#unknown(route, path),
      timeoutMs,
      namespace: headerValue(fields, namespaceField),
      lease: headerValue(fields, leaseField),
      fields,
      metadata: undefined,
    };
  }

  #open(path: string): Route | undefined {
    const service = this.#services.get(path.slice(1, path.lastIndexOf("/")));
    if (service === undefined || this.#opened.has(service)) return undefined;
    this.#opened.add(service);
    const { desc, impl, borrows } = service;
    for (const method of desc.methods) {
      const route = {
        method,
        answers: new MessageEncoder(method.output),
        borrows: borrows.includes(method.localName),
        call: implementation(impl, method),
      };
      this.#routes.set(`/${desc.typeName}/${method.name}`, route);
    }
    return this.#routes.get(path);
  }

  /** Source: grpc-go server.go, handleStream. */
  #unknown(route: Route | undefined, path: string): Rejection | undefined {
    if (route !== undefined) return undefined;
    const reject = (message: string): Rejection => ({ httpStatus: "200", code: code("UNIMPLEMENTED"), message });
    const name = path.startsWith("/") ? path.slice(1) : path;
    const slash = name.lastIndexOf("/");
    if (slash < 0) return reject(`malformed method name: ${quote(path)}`);
    const service = name.slice(0, slash);
    const method = name.slice(slash + 1);
    if (!this.#services.has(service)) return reject(`unknown service ${service}`);
    return reject(`unknown method ${method} for service ${service}`);
  }
}

/** The request's own metadata, without what HTTP/2, gRPC and the context say by other means. */
export function metadataOf(head: RequestHead): ReadonlyMap<string, string> {
  if (head.metadata !== undefined) return head.metadata;
  const metadata = new Map<string, string>();
  for (let i = 0; i < head.fields.length; i += 2) {
    const name = head.fields[i]!;
    const reserved = name.startsWith(":") || name.startsWith("grpc-") || name === "te" || name === "content-type";
    if (reserved || name === namespaceField || name === leaseField || metadata.has(name)) continue;
    metadata.set(name, head.fields[i + 1]!);
  }
  head.metadata = metadata;
  return metadata;
}

function implementation(impl: ServiceDefinition["impl"], method: DescMethod): Route["call"] {
  const found = impl[method.localName];
  // The words of grpc-go's generated code.
  if (typeof found !== "function") {
    return () => {
      throw new FaultError("notImplemented", `method ${method.name} not implemented`);
    };
  }
  return (found as Route["call"]).bind(impl);
}

/** Source: grpc-go internal/transport/http2_server.go, operateHeaders; the texts are what its clients show. */
function rejectionOf(fields: HeaderFields, badTimeout: boolean): Rejection | undefined {
  const contentType = headerValue(fields, "content-type") ?? "";
  if (!/^application\/grpc(?:$|[+;])/i.test(contentType)) {
    const message = `invalid gRPC request content-type ${quote(contentType)}`;
    return { httpStatus: "415", code: code("INVALID_ARGUMENT"), message };
  }
  if (badTimeout) {
    const message = `malformed grpc-timeout: ${timeoutProblem(headerValue(fields, "grpc-timeout") ?? "")}`;
    return { httpStatus: "400", code: code("INTERNAL"), message };
  }
  const method = headerValue(fields, ":method") ?? "";
  if (method !== "POST") {
    const message = `Received a HEADERS frame with :method ${quote(method)} which should be POST`;
    return { httpStatus: "405", code: code("INTERNAL"), message };
  }
  const encoding = headerValue(fields, "grpc-encoding") ?? "identity";
  if (encoding === "gzip" || encoding === "identity" || encoding === "") return undefined;
  const message = `grpc: Decompressor is not installed for grpc-encoding ${quote(encoding)}`;
  return { httpStatus: "200", code: code("UNIMPLEMENTED"), message };
}
