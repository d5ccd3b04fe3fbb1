import type { DescMethod } from "@bufbuild/protobuf";
import type { Ending } from "../../wire/grpc/index.ts";

/** Calls that wait for what may be days away are cut off; subscribers to events end with the exchange. */
export function endingOf({ parent, name }: DescMethod): Ending {
  const method = `${parent.typeName}/${name}`;
  if (method === "containerd.services.events.v1.Events/Subscribe") return "follow";
  return waits.has(method) ? "cut" : "finish";
}

const waits: ReadonlySet<string> = new Set([
  "containerd.services.tasks.v1.Tasks/Wait",
  "containerd.services.sandbox.v1.Controller/Wait",
  "grpc.health.v1.Health/Watch",
]);
