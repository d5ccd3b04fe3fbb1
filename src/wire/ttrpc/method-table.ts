import type { DescMethod } from "@bufbuild/protobuf";
import type { ServiceDefinition } from "../service.ts";

export interface Method {
  readonly desc: DescMethod;
  /** The implementation, or undefined for a method that answers Unimplemented. */
  readonly run: ((...args: readonly unknown[]) => unknown) | undefined;
}

/** Methods by name, as the wire has them. */
type Methods = ReadonlyMap<string, Method>;

/** The served methods by service name. Shape: a service's are looked at once one of them is asked for. */
export class MethodTable {
  readonly #services: ReadonlyMap<string, ServiceDefinition>;
  readonly #methods = new Map<string, Methods>();

  constructor(services: readonly ServiceDefinition[]) {
    this.#services = new Map(services.map((service) => [service.desc.typeName, service]));
  }

  get(service: string): Methods | undefined {
    const known = this.#methods.get(service);
    if (known !== undefined) return known;
    const definition = this.#services.get(service);
    if (definition === undefined) return undefined;
    const methods = methodsOf(definition);
    this.#methods.set(service, methods);
    return methods;
  }
}

function methodsOf({ desc, impl }: ServiceDefinition): Methods {
  const methods = new Map<string, Method>();
  for (const method of desc.methods) {
    const run = impl[method.localName];
    methods.set(method.name, {
      desc: method,
      run: typeof run === "function" ? (run.bind(impl) as Method["run"]) : undefined,
    });
  }
  return methods;
}
