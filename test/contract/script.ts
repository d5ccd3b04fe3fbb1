import { create, type DescMethod, type MessageInitShape, type MessageShape, toBinary } from "@bufbuild/protobuf";
import type { Difference } from "./differences.ts";
import type { Variables } from "./variables.ts";
import type { WireCall } from "./wire-call.ts";

/** A request, or how it is made of what earlier answers told. */
type From<T> = T | ((variables: Variables) => T);

export interface StepOptions {
  /** The caller's namespace where it is not the scenario's; null for none. */
  readonly namespace?: string | null;
  readonly lease?: string;
  /** More fields of the request, names and values by turns. */
  readonly fields?: readonly string[];
  /** Sent as grpc-timeout; the server alone keeps it. */
  readonly timeout?: string;
  readonly leave?: WireCall["leave"];
  /** Topics that must have been heard before the next call, each once; for what comes without being asked. */
  readonly awaits?: readonly string[];
  /** Where containerd's own order changes from call to call: lists below these fields are compared sorted. */
  readonly unordered?: readonly string[];
  /** Fields that the machine or the moment decides: only whether they are there is compared. */
  readonly vague?: readonly string[];
  /** What 2.x answers otherwise, by name. */
  readonly differs?: Difference | readonly Difference[];
}

/** One call, the same for both daemons. */
export interface Step {
  readonly name: string;
  readonly method: DescMethod | undefined;
  readonly options: StepOptions;
  readonly path: string;
  messages(variables: Variables): readonly Uint8Array[];
  /** Keeps what later steps need of the answers. */
  keep(variables: Variables, answers: readonly unknown[]): void;
}

/** Calls that belong together, in a namespace of their own. */
export interface Scenario {
  readonly service: string;
  readonly name: string;
  readonly namespace: string;
  readonly steps: readonly Step[];
}

export interface CallOptions<M extends DescMethod> extends StepOptions {
  readonly keep?: (variables: Variables, answer: MessageShape<M["output"]>) => void;
}

/** A call of a method that is known, with one message, or for a client's stream several. */
export function call<M extends DescMethod>(
  name: string,
  method: M,
  request: From<MessageInitShape<M["input"]> | readonly MessageInitShape<M["input"]>[]>,
  { keep, ...options }: CallOptions<M> = {},
): Step {
  return {
    name,
    method,
    options,
    path: `/${method.parent.typeName}/${method.name}`,
    messages: (variables) => {
      const made = typeof request === "function" ? request(variables) : request;
      const inits = (Array.isArray(made) ? made : [made]) as readonly MessageInitShape<M["input"]>[];
      return inits.map((init) => toBinary(method.input, create(method.input, init)));
    },
    keep: (variables, answers) => {
      const last = answers.at(-1);
      if (last !== undefined) keep?.(variables, last as MessageShape<M["output"]>);
    },
  };
}

/** A call of anything, with any bytes. */
export function bareCall(name: string, path: string, messages: readonly Uint8Array[], options: StepOptions = {}): Step {
  return { name, method: undefined, options, path, messages: () => messages, keep: () => {} };
}

/** Names calls that belong together. Without a namespace of its own a scenario's is made of its service's and its name. */
export function scenario(service: string, name: string, steps: readonly Step[], namespace?: string): Scenario {
  return { service, name, steps, namespace: namespace ?? `${service} ${name}`.replaceAll(/[^a-z0-9]+/g, "-") };
}
