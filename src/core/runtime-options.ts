import { create } from "@bufbuild/protobuf";
import { type Any, AnySchema } from "@bufbuild/protobuf/wkt";
import { OptionsSchema } from "../gen/containerd/runc/v1/oci_pb.ts";
import { invalidArgument, quote } from "../lib/faults.ts";
import { anyIs, anyTo } from "../wire/any.ts";

/** Under this name, too, the options of runc's runtime are known. */
const otherOptionsName = `io.${OptionsSchema.typeName}`;

/** A runtime's options under the one name that the host knows them by. */
export function canonicalOptions(any: Any | undefined): Any | undefined {
  return any?.typeUrl === otherOptionsName
    ? create(AnySchema, { typeUrl: OptionsSchema.typeName, value: any.value })
    : any;
}

/**
 * The cgroup that options want the shim in; empty when they name none.
 * Shape: from the root of the hierarchies, with one slash before each part, however it was written: it names a host.
 * Errors: invalidArgument (the root, or a way out of it).
 */
export function shimCgroupOf(options: Any | undefined): string {
  const known = canonicalOptions(options);
  const named = known !== undefined && anyIs(known, OptionsSchema) ? anyTo(known, OptionsSchema).shimCgroup : "";
  if (named === "") return "";
  const parts = named.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.length === 0 || parts.includes(".."))
    throw invalidArgument(`shim cgroup ${quote(named)} is no cgroup's path`);
  return `/${parts.join("/")}`;
}
