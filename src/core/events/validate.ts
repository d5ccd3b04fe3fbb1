import type { Envelope } from "../../gen/containerd/types/event_pb.ts";
import { invalidArgument, quote, wrapFault } from "../../lib/faults.ts";
import { checkIdentifier } from "../../lib/identifiers.ts";

/** Checks a topic: `/` and identifiers between slashes. Errors: invalidArgument. Source: containerd exchange.go validateTopic. */
export function checkTopic(topic: string): void {
  try {
    checkTopicText(topic);
  } catch (error) {
    throw wrapFault(`envelope topic ${quote(topic)}`, error);
  }
}

/** Checks an envelope that somebody passes on. Errors: invalidArgument. Source: containerd exchange.go validateEnvelope. */
export function checkEnvelope(envelope: Envelope): void {
  try {
    checkIdentifier(envelope.namespace);
  } catch (error) {
    throw wrapFault("event envelope has invalid namespace", error);
  }
  checkTopic(envelope.topic);
  if (envelope.timestamp === undefined) throw invalidArgument("timestamp must be set on forwarded event");
}

function checkTopicText(topic: string): void {
  if (topic === "") throw invalidArgument("must not be empty");
  if (!topic.startsWith("/")) throw invalidArgument("must start with '/'");
  if (topic.length === 1) throw invalidArgument("must have at least one component");
  for (const component of topic.slice(1).split("/")) {
    try {
      checkIdentifier(component);
    } catch (error) {
      throw wrapFault(`failed validation on component ${quote(component)}`, error);
    }
  }
}
