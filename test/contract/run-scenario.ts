import { fromBinary } from "@bufbuild/protobuf";
import { grpcCodes } from "../../src/wire/status.ts";
import { plainMessage, withPlaceholders } from "./normalise.ts";
import type { Scenario, Step } from "./script.ts";
import type { Side } from "./side.ts";
import { Variables } from "./variables.ts";
import { callOverWire, type WireAnswer } from "./wire-call.ts";

/** All that a call had for its caller and for who listens, as lines of text. */
export interface Outcome {
  readonly step: Step;
  readonly text: string;
}

/** Makes a scenario's calls to one daemon, one after the other. */
export async function runScenario(side: Side, scenario: Scenario): Promise<readonly Outcome[]> {
  if (side.connection.closed) throw new Error(`${side.daemon.kind} ended before`);
  const variables = new Variables(side.daemon.namespace, side.rootfs);
  const namespace = withToken(scenario.namespace, variables);
  const outcomes: Outcome[] = [];
  for (const step of scenario.steps) {
    outcomes.push({ step, text: await runStep(side, step, namespace, variables) });
    if (side.connection.closed) throw new Error(`${side.daemon.kind} ended at: ${step.name}\n${await lastWords(side)}`);
  }
  return outcomes;
}

/** What a daemon that ended said of it, where it is Go's. */
async function lastWords(side: Side): Promise<string> {
  const log = await side.daemon.logs();
  return log
    .slice(Math.max(log.lastIndexOf("\npanic: "), log.length - 2000))
    .split("\n")
    .slice(0, 12)
    .join("\n");
}

/** A namespace's name may be the daemon's own. */
function withToken(text: string, { token }: Variables): string {
  return text.replaceAll("<token>", token);
}

async function runStep(side: Side, step: Step, namespace: string, variables: Variables): Promise<string> {
  const { path, options } = step;
  const answer = await callOverWire(side.connection, {
    path,
    fields: fieldsOf(step, namespace),
    messages: step.messages(variables),
    leave: options.leave,
  });
  const messages = answer.messages.map((bytes) =>
    step.method === undefined ? bytes : fromBinary(step.method.output, bytes),
  );
  step.keep(variables, messages);
  const events = side.connection.closed ? [] : await side.events(options.awaits ?? []);
  const shown = [
    `status ${statusText(answer)}`,
    ...messages.map((message) => `answer ${show(plainMessage(message, options))}`),
    ...events.map((event) => `event ${show(plainMessage(event, options))}`),
  ];
  return withPlaceholders(shown.join("\n"), side.places);
}

function fieldsOf({ options }: Step, namespace: string): readonly string[] {
  const fields = [...(options.fields ?? [])];
  const named = options.namespace === undefined ? namespace : options.namespace;
  if (named !== null) fields.push("containerd-namespace", named);
  if (options.lease !== undefined) fields.push("containerd-lease", options.lease);
  if (options.timeout !== undefined) fields.push("grpc-timeout", options.timeout);
  return fields;
}

function statusText({ end }: WireAnswer): string {
  if (end.kind === "broken") return `none: ${end.reason}`;
  const name = grpcCodes[end.code] ?? String(end.code);
  const details = end.details === "" ? "" : `\ndetails ${end.details}`;
  return end.text === "" ? `${name}${details}` : `${name} ${end.text}${details}`;
}

const show = (value: unknown): string => JSON.stringify(value, undefined, 1);
