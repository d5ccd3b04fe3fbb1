import type { StreamProcessor } from "../../workers/index.ts";

/** A program that turns layers of some media types into another one. Source: containerd cmd/containerd/server/config. */
export interface StreamProcessorConfig {
  readonly accepts: readonly string[];
  readonly returns: string;
  readonly path: string;
  readonly args: readonly string[];
  readonly env: readonly string[];
}

export interface ProcessorChain {
  readonly processors: readonly StreamProcessor[];
  /** What comes out in the end. */
  readonly mediaType: string;
}

/** Where a program finds the media type that it is given. Source: containerd core/diff/stream.go, stream_unix.go. */
const mediaTypeEnv = "STREAM_PROCESSOR_MEDIATYPE";
const keys = "/etc/containerd/ocicrypt/keys";
const keysEnv = "OCICRYPT_KEYPROVIDER_CONFIG=/etc/containerd/ocicrypt/ocicrypt_keyprovider.conf";
/** Programs that hand layers round in a circle are stopped. */
const maxPrograms = 8;

/** Those that containerd is configured with from the beginning: decryption by ocicrypt. */
export const defaultProcessors: ReadonlyMap<string, StreamProcessorConfig> = new Map(
  ["tar", "tar+gzip"].map((type) => [
    `io.containerd.ocicrypt.decoder.v1.${type.replace("+", ".")}`,
    {
      accepts: [`application/vnd.oci.image.layer.v1.${type}+encrypted`],
      returns: `application/vnd.oci.image.layer.v1.${type}`,
      path: "ctd-decoder",
      args: ["--decryption-keys-path", keys],
      env: [keysEnv],
    },
  ]),
);

/** Which programs a layer of that type goes through; none for what needs none. */
export function processorChain(
  configs: ReadonlyMap<string, StreamProcessorConfig>,
  mediaType: string,
  payloads: ReadonlyMap<string, Uint8Array>,
): ProcessorChain {
  const processors: StreamProcessor[] = [];
  let type = mediaType;
  while (processors.length < maxPrograms) {
    const accepting = type;
    const found = [...configs].findLast(([, { accepts }]) => accepts.includes(accepting));
    if (found === undefined) break;
    const [id, { path, args, env, returns }] = found;
    const payload = payloads.get(id);
    processors.push({
      path,
      args,
      env: [...env, `${mediaTypeEnv}=${type}`],
      payload: payload === undefined ? undefined : Buffer.from(payload).toString("base64"),
    });
    type = returns;
  }
  return { processors, mediaType: type };
}
