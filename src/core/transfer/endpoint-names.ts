import type { Endpoint } from "./transfer.ts";

/** What an endpoint is called in messages. Source: containerd core/transfer/local/transfer.go, name. */
export function endpointName(endpoint: Endpoint): string {
  switch (endpoint.kind) {
    case "registry":
      return `OCI Registry (${endpoint.reference})`;
    case "store":
      return `Local Image Store (${endpoint.name})`;
    case "import":
      return "*archive.ImageImportStream";
    case "export":
      return "*archive.ImageExportStream";
    case "read":
      return "*streaming.ReadStream";
    case "write":
      return "*streaming.WriteStream";
    case "container":
      return `Container (${endpoint.containerId}:${endpoint.path})`;
    case "unknown":
      return endpoint.typeUrl;
  }
}
