/**
 * Where lighter answers otherwise than the containerd 1.6 of the tests, and why: what of that one's answer to write anew.
 * A call that names a difference fails once the difference is gone, on either side, or is another than is said here.
 */
export interface Difference {
  readonly name: string;
  /** Whose answer lighter's is: that of containerd 2.x, or its own on purpose. */
  readonly side: "2.x" | "ours";
  readonly rewrites: readonly (readonly [from: string | RegExp, to: string])[];
}

const newer = (name: string, ...rewrites: Difference["rewrites"]): Difference => ({ name, side: "2.x", rewrites });
const ours = (name: string, ...rewrites: Difference["rewrites"]): Difference => ({ name, side: "ours", rewrites });

/** Everything that was answered. */
const all = /^[^]*$/;

export const longLabel: Difference = newer("a label that is too long is told with its length", [
  "key and value greater than",
  "key and value length (4097 bytes) greater than",
]);

/** Source: plugins/services/namespaces/local.go, Create and Update. */
export const namespaceEvents = (name: string): Difference =>
  newer("events of a namespace belong to it, not to its caller's", [
    /"namespace": "namespaces-\w+"/,
    `"namespace": "${name}"`,
  ]);

/** Source: plugins/services/namespaces/local.go, Update: the message is a pointer now, and still not set. */
export const noAnswer: Difference = newer("an update of a namespace answers with nothing at all", [
  'answer {\n "namespace": {\n  "labels": {},\n  "name": ""\n }\n}',
  "answer {}",
]);

/** Source: core/metadata/snapshot.go. */
export const snapshotterInEvents = (snapshotter: string): Difference =>
  newer("events of snapshots tell the snapshotter", ['"snapshotter": ""', `"snapshotter": "${snapshotter}"`]);

export const cleanup: Difference = newer("snapshotters clean up", [
  "status UNIMPLEMENTED snapshotter does not implement Cleanup method: not implemented",
  "status OK\nanswer {}",
]);

/** Source: core/metadata/images.go, validateTarget. */
export const targetNames: Difference = newer("fields of a target are told as target.X", [/\bTarget\./, "target."]);

/** Source: core/metadata/images.go, Delete. */
export const deleteOfTarget = (name: string, has: string, not: string): Difference =>
  newer("a deletion may name the target", [
    all,
    `status NOT_FOUND image "${name}" has target ${has}, not ${not}: not found`,
  ]);

/** Shape: `mediaType` where who wrote it knew. Source: core/metadata/content.go, Commit. */
export const contentCreated = (namespace: string, digest: string, size: number, mediaType = ""): Difference =>
  newer("content that is committed is an event", [/$/, `\n${createEvent(namespace, digest, size, mediaType)}`]);

/** Source: plugins/services/content/contentserver/contentserver.go, infoToGRPC. */
export const updatesListed: Difference = newer("lists of content tell when it was updated", [
  /"size": "(\d+)"(?!,)/g,
  '"size": "$1",\n   "updatedAt": "<time>"',
]);

/** Source: grpc-go server.go, handleStream. */
export const malformedMethod: Difference = newer("a path that names no method is not implemented", [
  "RESOURCE_EXHAUSTED",
  "UNIMPLEMENTED",
]);

/** Source: grpc-go internal/transport/http2_server.go, operateHeaders. */
export const toldWhy = (status: string): Difference =>
  newer("a request whose headers are refused is told why", [
    "status none: the stream was reset (1)",
    `status ${status}`,
  ]);

export const undecodable = (theirs: string, mine: string): Difference =>
  ours("bytes that are no message are told in other words", [theirs, mine]);

/** Source: google.golang.org/protobuf, which 2.x decodes with. */
export const badUtf8 = (mine: string): Difference =>
  newer("text that is not UTF-8 is refused", [all, `status ${mine}`]);

/** Source: grpc-go stream.go, serverStream.RecvMsg. */
export const cardinality = (problem: string): Difference =>
  newer("one message is wanted where answers are many", [all, `status INTERNAL cardinality violation: ${problem}`]);

/** Source: plugins/snapshots/overlay/overlay.go, mounts. */
export const indexOff: Difference = newer("index=off is the last of overlayfs's options", [
  /\n( +)"index=off",((?:\n +"[a-z]+dir=[^\n]*)+)/,
  '$2,\n$1"index=off"',
]);

export const noRevision: Difference = ours("lighter has no revision beside its version", [
  '"revision": "<revision>"',
  '"revision": ""',
]);

export const deadlineAtOnce: Difference = ours("a deadline is answered by the server, at once and by its name", [
  /^status .*/,
  "status DEADLINE_EXCEEDED context deadline exceeded",
]);

export const checkedNamespace = (name: string): Difference =>
  ours("an update makes no namespace of a malformed name", [
    all,
    `status INVALID_ARGUMENT identifier "${name}" must match ^[A-Za-z0-9]+(?:[._-](?:[A-Za-z0-9]+))*$: invalid argument`,
  ]);

/** What such an update left behind. */
export const namespaceUnmade: Difference = ours("an update makes no namespace of a malformed name", [
  '\n  {\n   "labels": {\n    "q": "1"\n   },\n   "name": "a/b"\n  },',
  "",
]);

/** containerd logs it and matches nothing. */
export const badRegexp = (status: string): Difference =>
  ours("a regular expression that does not compile is refused", [all, `status ${status}`]);

export const extensionsReplaced = (...gone: readonly string[]): Difference =>
  ours(
    "extensions that were replaced are gone",
    ...gone.map((name) => [new RegExp(`\n +"${name}": \\{\n +"@type": [^\n]*\n[^\n]*\n +\\},`), ""] as const),
  );

/** Source: errdefs pkg/errgrpc/grpc.go, ToNative. */
export const notUnknown: Difference = newer('failures of no kind don\'t end with "unknown"', [/: unknown$/m, ""]);

/** lighter's shim host needs no runtime to send a signal. */
export const ownSignals: Difference = ours("a signal that cannot be sent is told in the kernel's words", [
  /after kill: runc [^]*$/,
  "after kill: pidfd_send_signal: invalid argument",
]);

export const failedMount: Difference = ours("a mount that fails is told by where it was to be", [
  "component &{bind /nonesuch [rbind]}:",
  'component: mount "<state>/io.containerd.runtime.v2.task/<token>/h/rootfs":',
]);

/** Source: plugins/services/introspection/local.go, Server. */
export const serverPid: Difference = newer(
  "the server tells its process",
  ['"pid": "0"', '"pid": "<pid>"'],
  ['"pidns": "0"', '"pidns": "<pidns>"'],
);

/** Source: plugins/services/introspection/local.go, Plugins. */
export const pluginFilters: Difference = newer("filters of plugins say before and after of what kind they are", [
  /INVALID_ARGUMENT (.*: invalid argument): invalid argument/,
  "INVALID_ARGUMENT invalid argument: $1",
]);

/** Source: plugins/snapshots/overlay/plugin/plugin.go. */
export const capabilities: Difference = newer("snapshotters tell what they can", [
  '"capabilities": []',
  '"capabilities": [\n    "remap-ids",\n    "only-remap-ids",\n    "rebase"\n   ]',
]);

/** Source: plugins/snapshots/native/plugin/plugin.go. */
export const nativeRoot: Difference = newer("snapshotters tell their roots", [
  '"exports": {}',
  '"exports": {\n    "root": "<root>/io.containerd.snapshotter.v1.native"\n   }',
]);

export const requires = (theirs: string, mine: readonly string[]): Difference =>
  ours("plugins require what they are made of here", [requirement(theirs === "" ? [] : [theirs]), requirement(mine)]);

function requirement(kinds: readonly string[]): string {
  const lines = kinds.map((kind) => `\n    "io.containerd.${kind}.v1"`);
  return `"requires": [${lines.join(",")}${lines.length === 0 ? "" : "\n   "}]`;
}

/** What is wrong with a layer is told with the layer. */
export const ofLayer = (digest: string): Difference =>
  ours("what is wrong with a layer is told with its digest", [
    "status UNKNOWN ",
    `status UNKNOWN apply layer ${digest}: `,
  ]);

export const badLayer = (digest: string, problem: string): Difference =>
  ours("a layer that is no archive, or leads out of its tree, is refused as what it is", [
    all,
    `status INVALID_ARGUMENT apply layer ${digest}: ${problem}`,
  ]);

export const mountsElsewhere = (mine: string): Difference =>
  ours("layers are mounted below the differ's folder", [/(status UNKNOWN ).*/, `$1${mine}`]);

export const unknownOptions: Difference = ours("options of a type that nobody knows are no task's", [
  "type with url nope: not found",
  "invalid task create option for io.containerd.runc.v2",
]);

export const answeredOnce: Difference = ours("a write's last answer is sent once", [
  /(\nanswer \{(?:\n [^\n]*)*\n\})\1(?=\n(?!answer)|$)/,
  "$1",
]);

/** Source: plugins/snapshots/overlay/overlay.go, Commit. */
export const commitOf = (key: string): Difference =>
  newer("a commit that fails tells of what", ["failed to commit snapshot: ", `failed to commit snapshot ${key}: `]);

export const clientsNames: Difference = ours("snapshots go by their clients' names in errors", [/[a-z-]+\/\d+\//, ""]);

export const unusedSnapshotter: Difference = ours("a snapshotter without snapshots is not missing", [
  'can not find snapshotter "overlayfs"',
  "snapshot none does not exist",
]);

function createEvent(namespace: string, digest: string, size: number, mediaType: string): string {
  const value = { digest, mediaType, size: String(size) };
  const event = { "@type": "containerd.events.ContentCreate", value };
  return `event ${JSON.stringify({ event, namespace, timestamp: "<time>", topic: "/content/create" }, undefined, 1)}`;
}

/** As of containers. Source: core/metadata/boltutil/helpers.go, WriteExtensions. */
export const sandboxExtensionsReplaced: Difference = ours("extensions that were replaced are gone", [
  /"extensions": \{\n[^]*?\n {2}\},/,
  '"extensions": {},',
]);

export const platforms: Difference = ours("the platform of a sandbox is told over gRPC", [
  "UNIMPLEMENTED method Platform not implemented",
  "NOT_FOUND not found",
]);

/** Source: plugins/services/sandbox/controller_service.go, Start. */
export const whoseStart = (id: string): Difference =>
  newer("a start of a sandbox that fails tells of which", ["UNKNOWN ", `UNKNOWN failed to start sandbox "${id}": `]);

/** Source: core/runtime/v2/task_manager.go, init. */
export const logSchemes: Difference = newer("the runtimes tell where they can log to", [
  '"exports": {}',
  '"exports": {\n   "log-uri-schemes": "fifo,binary,file"\n  }',
]);

export const typeNames: Difference = ours("types of requests are told by their names", [
  "*specs.Spec",
  "types.containerd.io/opencontainers/runtime-spec/1/Spec",
]);

export const namedStream = (name: string): Difference =>
  ours("a stream that is not open is named", ["NOT_FOUND not found", `NOT_FOUND stream "${name}": not found`]);

export const noTransfer = (from: string, to: string): Difference =>
  ours("a transfer between what cannot be transferred is not implemented", [
    "UNKNOWN type with url : not found",
    `UNIMPLEMENTED unable to transfer from ${from} to ${to}: not implemented`,
  ]);

export const notInit: Difference = ours("a stream that does not begin with its name is an invalid argument", [
  all,
  'status INVALID_ARGUMENT expected "containerd.services.streaming.v1.StreamInit", got "types.containerd.io/opencontainers/runtime-spec/1/Spec": invalid argument',
]);
