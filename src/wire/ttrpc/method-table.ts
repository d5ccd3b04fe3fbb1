import type { DescMethod } from "@bufbuild/protobuf";
import type { ServiceDefinition } from "../service.ts";

export interface Method {
  readonly desc: DescMethod;
  /** The implementation, or undefined for a method that answers Unimplemented. */
  readonly run: ((...args: readonly unknown[]) => unknown) | undefined;
}

export type MethodTable = ReadonlyMap<string, ReadonlyMap<string, Method>>;

/** The served methods by service name and method name, as the wire has them. */
export function createMethodTable(services: readonly ServiceDefinition[]): MethodTable {
  const table = new Map<string, ReadonlyMap<string, Method>>();
  for (const { desc, impl } of services) {
    const methods = new Map<string, Method>();
    for (const method of desc.methods) {
      const run = impl[method.localName];
      methods.set(method.name, {
        desc: method,
        run: typeof run === "function" ? (run.bind(impl) as Method["run"]) : undefined,
      });
    }
    table.set(desc.typeName, methods);
  }
  return table;
}
