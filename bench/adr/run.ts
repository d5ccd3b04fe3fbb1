// The measurements behind the first decisions in docs/adr, one by one or all of them.
// usage: bun bench/adr/run.ts [runtime] [shim-host] [metadata] [grpc] [protobuf]
import { measureGrpc } from "./grpc.ts";
import { measureMetadata } from "./metadata.ts";
import { measureProtobuf } from "./protobuf.ts";
import { measureRuntime } from "./runtime.ts";
import { measureShimHost } from "./shim-host.ts";

const measurements = {
  runtime: measureRuntime,
  "shim-host": measureShimHost,
  metadata: measureMetadata,
  grpc: measureGrpc,
  protobuf: measureProtobuf,
} as const;

const wanted = process.argv.slice(2);
for (const [name, measure] of Object.entries(measurements)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  console.log(`\n## ${name}\n`);
  for (const line of await measure()) console.log(line);
}
