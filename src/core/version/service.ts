import { Version } from "../../gen/containerd/services/version/v1/version_pb.ts";
import { apiVersion, revision } from "../../lib/version.ts";
import { defineService, type ServiceDefinition } from "../../wire/service.ts";

/** The service by which a client asks what it speaks with. */
export function createVersionService(): ServiceDefinition {
  return defineService(Version, { version: () => ({ version: apiVersion, revision }) });
}
