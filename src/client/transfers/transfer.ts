import { isFault, messageOf } from "../../lib/faults.ts";
import type { Platform } from "../../lib/platforms.ts";
import type { Client } from "../client.ts";
import type { RegistryCredentials } from "../registries/credentials.ts";
import { type OpenStream, openStream, type TypedMessage, typed, untyped } from "./stream.ts";

/** How the daemon reaches a registry. */
export interface RegistryAccess {
  /** The image's full name. */
  readonly reference: string;
  /** Who one is at a host; undefined is nobody. */
  readonly credentials: (host: string) => Promise<RegistryCredentials | undefined>;
  /** A folder of hosts.toml in place of the daemon's own. */
  readonly hostsFolder?: string | undefined;
  readonly defaultScheme?: "http" | "https" | undefined;
}

/** A step of a transfer, as the daemon tells it. */
export interface TransferStep {
  /** `waiting`, `downloading`, `uploading`, `complete`, `already exists`, `extracting`, `extracted`, or a sentence. */
  readonly event: string;
  /** The part's name; empty for a sentence. */
  readonly name: string;
  readonly offset: number;
  readonly totalBytes: number;
  readonly digest: string;
  readonly mediaType: string;
}

export type OnStep = (step: TransferStep) => void;

export interface PullOptions {
  readonly onStep?: OnStep | undefined;
  /** Only these; all where none is named. */
  readonly platforms: readonly Platform[];
  /** Where it is unpacked; left out, it is not. */
  readonly snapshotter?: string | undefined;
  readonly labels?: Readonly<Record<string, string>> | undefined;
}

const registryType = "containerd.types.transfer.OCIRegistry";
const storeType = "containerd.types.transfer.ImageStore";
const progressType = "containerd.types.transfer.Progress";
const askType = "containerd.types.transfer.AuthRequest";
const answerType = "containerd.types.transfer.AuthResponse";
/** Source: containerd api/types/transfer/registry.proto, AuthType. */
const authTypes = { none: 0, credentials: 1, refresh: 2 } as const;

/** Has the daemon pull an image, and store it under the reference's name. Errors: what the daemon says. */
export async function pullImage(client: Client, access: RegistryAccess, options: PullOptions): Promise<void> {
  const platforms = options.platforms.map(wirePlatform);
  const store = typed(storeType, {
    name: access.reference,
    platforms,
    labels: options.labels ?? {},
    ...(options.snapshotter === undefined
      ? {}
      : { unpacks: platforms.map((platform) => ({ platform, snapshotter: options.snapshotter })) }),
  });
  await withRegistry(client, access, (registry) => transfer(client, registry, store, options.onStep));
}

/**
 * Whether the daemon's transfers don't unpack what was to be pulled: not to that snapshotter, or not what is for those platforms. Nothing
 * was fetched then. Source: containerd core/unpack/unpacker.go, NewUnpacker.
 */
export function isUnpackedElsewhere(error: unknown): boolean {
  return isFault(error, "invalidArgument") && messageOf(error).includes("no unpack platforms defined");
}

export interface PushOptions {
  readonly onStep?: OnStep | undefined;
  /** The image's name in the store. */
  readonly image: string;
}

/** Has the daemon push an image. Errors: what the daemon says. */
export async function pushImage(client: Client, access: RegistryAccess, options: PushOptions): Promise<void> {
  const store = typed(storeType, { name: options.image });
  await withRegistry(client, access, (registry) => transfer(client, store, registry, options.onStep));
}

/** Something that refers to an image. */
export interface Referrer {
  readonly digest: string;
  readonly mediaType: string;
  readonly artifactType: string;
  readonly sizeBytes: number;
  readonly annotations: Readonly<Record<string, string>>;
}

/** Has the daemon ask a registry what refers to an image. Errors: what the daemon says. */
export async function listReferrers(
  client: Client,
  access: RegistryAccess,
  artifactTypes: readonly string[],
): Promise<{ readonly digest: string; readonly referrers: readonly Referrer[] }> {
  return await withRegistry(client, access, async (registry) => {
    const { subject, referrers } = await client.registries.referrers({ registry, artifactTypes: [...artifactTypes] });
    return {
      digest: subject?.digest ?? "",
      referrers: referrers.map(({ descriptor, artifactType }) => ({
        digest: descriptor?.digest ?? "",
        mediaType: descriptor?.mediaType ?? "",
        artifactType,
        sizeBytes: Number(descriptor?.size ?? 0),
        annotations: descriptor?.annotations ?? {},
      })),
    };
  });
}

function wirePlatform({ os, architecture, variant, osVersion }: Platform): object {
  return { os, architecture, variant: variant ?? "", osVersion: osVersion ?? "" };
}

async function withRegistry<T>(
  client: Client,
  { reference, credentials, hostsFolder, defaultScheme }: RegistryAccess,
  work: (registry: TypedMessage) => Promise<T>,
): Promise<T> {
  using stream = await openStream(client, "credentials");
  const failed = Promise.withResolvers<never>();
  answerQuestions(stream, credentials).catch(failed.reject);
  const resolver = { authStream: stream.id, hostDir: hostsFolder ?? "", defaultScheme: defaultScheme ?? "" };
  return await Promise.race([work(typed(registryType, { reference, resolver })), failed.promise]);
}

/** The daemon asks for what it needs when it needs it: nothing is told to hosts that do not ask. */
async function answerQuestions(stream: OpenStream, credentials: RegistryAccess["credentials"]): Promise<void> {
  for await (const message of stream.messages()) {
    const question = untyped(message, askType);
    if (question === undefined) continue;
    const found = await credentials(String(question["host"]));
    const { username = "", secret = "" } = found ?? {};
    const authType = secret === "" ? authTypes.none : username === "" ? authTypes.refresh : authTypes.credentials;
    stream.send(typed(answerType, { authType, username, secret }));
  }
}

/** Has the daemon bring something from one place to another. Errors: what the daemon says. */
export async function transfer(
  client: Client,
  source: TypedMessage,
  destination: TypedMessage,
  onStep?: OnStep,
): Promise<void> {
  using stream = await openStream(client, "progress");
  const listening = listen(stream, onStep);
  // The transfer itself says what went wrong.
  listening.catch(() => {});
  await client.transfer.transfer({ source, destination, options: { progressStream: stream.id } });
  await listening;
}

async function listen(stream: OpenStream, onStep: OnStep | undefined): Promise<void> {
  for await (const message of stream.messages()) {
    const step = untyped(message, progressType);
    if (step === undefined) continue;
    const descriptor = (step["desc"] ?? {}) as { digest?: string; mediaType?: string };
    onStep?.({
      event: String(step["event"]),
      name: String(step["name"]),
      offset: Number(step["progress"]),
      totalBytes: Number(step["total"]),
      digest: descriptor.digest ?? "",
      mediaType: descriptor.mediaType ?? "",
    });
  }
}
