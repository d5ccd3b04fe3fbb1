import { create } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import type { Platform as WirePlatform } from "../../gen/containerd/types/platform_pb.ts";
import { ContainerPathSchema } from "../../gen/containerd/types/transfer/container_pb.ts";
import { ImageStoreSchema } from "../../gen/containerd/types/transfer/imagestore_pb.ts";
import {
  ImageExportStreamSchema,
  ImageImportStreamSchema,
} from "../../gen/containerd/types/transfer/importexport_pb.ts";
import {
  AuthRequestSchema,
  AuthResponseSchema,
  AuthType,
  HTTPDebug,
  OCIRegistrySchema,
  type RegistryResolver,
} from "../../gen/containerd/types/transfer/registry_pb.ts";
import { ReadStreamSchema, WriteStreamSchema } from "../../gen/containerd/types/transfer/streaming_pb.ts";
import type { Ctx } from "../../lib/ctx.ts";
import { messageOf, unavailable } from "../../lib/faults.ts";
import { hostPlatform, type Platform } from "../../lib/platforms.ts";
import { anyIs, anyOf, anyTo } from "../../wire/any.ts";
import type { Credentials, CredentialsSource } from "../remotes/index.ts";
import { receiveBytes, type Stream, type StreamManager, sendBytes } from "../streaming/index.ts";
import type { Endpoint, RegistryEndpoint } from "./transfer.ts";

/**
 * Opens what a client names as a transfer's source or destination.
 * Shape: `scope` ends what was opened, whether the transfer used it or not.
 * Errors: notFound (a stream that is not open), invalidArgument.
 */
export function decodeEndpoint(
  ctx: Ctx,
  any: Any | undefined,
  streams: StreamManager,
  scope: DisposableStack,
): Endpoint {
  const streamOf = (name: string): Stream => scope.adopt(streams.get(ctx, name), (stream) => stream.close());
  if (any === undefined) return { kind: "unknown", typeUrl: "" };
  if (anyIs(any, OCIRegistrySchema)) {
    const { reference, resolver } = anyTo(any, OCIRegistrySchema);
    return { kind: "registry", reference, ...registryOptions(ctx, reference, resolver, streamOf) };
  }
  if (anyIs(any, ImageStoreSchema)) return storeEndpoint(any);
  if (anyIs(any, ImageImportStreamSchema)) {
    const { stream, mediaType, forceCompress } = anyTo(any, ImageImportStreamSchema);
    return { kind: "import", bytes: receiveBytes(streamOf(stream)), mediaType, forceCompress };
  }
  if (anyIs(any, ImageExportStreamSchema)) {
    const { stream, mediaType, platforms, allPlatforms, ...options } = anyTo(any, ImageExportStreamSchema);
    const { skipCompatibilityManifest, skipNonDistributable } = options;
    return {
      kind: "export",
      sink: sendBytes(streamOf(stream)),
      mediaType,
      platforms: platforms.map(platformOf),
      allPlatforms,
      skipCompatibilityManifest,
      skipNonDistributable,
    };
  }
  if (anyIs(any, ReadStreamSchema)) {
    const { stream, mediaType } = anyTo(any, ReadStreamSchema);
    return { kind: "read", bytes: receiveBytes(streamOf(stream)), mediaType };
  }
  if (anyIs(any, WriteStreamSchema)) {
    const { stream, mediaType } = anyTo(any, WriteStreamSchema);
    return { kind: "write", sink: sendBytes(streamOf(stream)), mediaType };
  }
  if (anyIs(any, ContainerPathSchema)) {
    const { containerId, path, noWalk, preserveOwnership } = anyTo(any, ContainerPathSchema);
    return { kind: "container", containerId, path, noWalk, preserveOwnership };
  }
  return { kind: "unknown", typeUrl: any.typeUrl };
}

function storeEndpoint(any: Any): Endpoint {
  const { name, labels, platforms, allMetadata, manifestLimit, extraReferences, unpacks } = anyTo(
    any,
    ImageStoreSchema,
  );
  return {
    kind: "store",
    name,
    labels: new Map(Object.entries(labels)),
    platforms: platforms.map(platformOf),
    allMetadata,
    manifestLimit,
    extraReferences: extraReferences.map(({ name: extra, isPrefix, allowOverwrite, addDigest, skipNamedDigest }) => ({
      name: extra,
      isPrefix,
      allowOverwrite,
      addDigest,
      skipNamedDigest,
    })),
    unpacks: unpacks.map(({ platform, snapshotter }) => ({
      platform: platform === undefined ? hostPlatform : platformOf(platform),
      snapshotter,
    })),
  };
}

function platformOf({ os, architecture, variant, osVersion, osFeatures }: WirePlatform): Platform {
  return {
    os,
    architecture,
    variant: variant === "" ? undefined : variant,
    osVersion: osVersion === "" ? undefined : osVersion,
    osFeatures: osFeatures.length === 0 ? undefined : osFeatures,
  };
}

function registryOptions(
  ctx: Ctx,
  reference: string,
  resolver: RegistryResolver | undefined,
  streamOf: (name: string) => Stream,
): Omit<RegistryEndpoint, "kind" | "reference"> {
  const authStream = resolver?.authStream ?? "";
  return {
    headers: new Map(Object.entries(resolver?.headers ?? {})),
    hostFolder: resolver?.hostDir ?? "",
    defaultScheme: resolver?.defaultScheme ?? "",
    credentials: authStream === "" ? undefined : askedCredentials(streamOf(authStream)),
    onHttp: resolver === undefined ? undefined : httpLog(ctx, reference, resolver, streamOf),
  };
}

/** Asks the client, one question at a time. Source: containerd core/transfer/registry/registry.go, GetCredentials. */
function askedCredentials(stream: Stream): CredentialsSource {
  let last: Promise<unknown> = Promise.resolve();
  const ask = async (host: string, reference: string): Promise<Credentials> => {
    await stream.send(anyOf(AuthRequestSchema, create(AuthRequestSchema, { host, reference })));
    const answer = await stream.receive();
    if (answer === undefined) throw unavailable("the client answers no more questions for credentials");
    const { authType, username, secret } = anyTo(answer, AuthResponseSchema);
    switch (authType) {
      case AuthType.CREDENTIALS:
        return { username, secret };
      case AuthType.REFRESH:
        return { username: "", secret };
      case AuthType.HEADER:
        return { header: secret };
      default:
        return {};
    }
  };
  return (_ctx, host, reference) => {
    const answer = last.then(() => ask(host, reference));
    last = answer.catch(() => {});
    return answer;
  };
}

/** Where requests are told, when the client asked for that: to its stream, else to the log. */
function httpLog(
  ctx: Ctx,
  reference: string,
  { httpDebug, logsStream }: RegistryResolver,
  streamOf: (name: string) => Stream,
): ((line: string) => void) | undefined {
  if (httpDebug === HTTPDebug.DISABLED) return undefined;
  if (logsStream === "") return (line) => ctx.log.info("registry request", { reference, line });
  const sink = sendBytes(streamOf(logsStream));
  let last = Promise.resolve();
  let waiting = 0;
  return (line) => {
    // A client that does not read its log holds nothing up; what it missed is gone.
    if (waiting >= maxWaitingLines) return;
    waiting++;
    last = last
      .then(() => sink.write(Buffer.from(`${line}\n`)))
      .catch((error: unknown) => ctx.log.debug("log line was not sent", { error: messageOf(error) }))
      .finally(() => {
        waiting--;
      });
  };
}

const maxWaitingLines = 256;
