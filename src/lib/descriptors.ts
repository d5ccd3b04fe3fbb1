import type { DescEnum, DescFile, DescMessage, DescService, Message } from "@bufbuild/protobuf";
import type { GenEnum, GenFile, GenMessage, GenService, GenServiceMethods } from "@bufbuild/protobuf/codegenv2";
import {
  enumDesc as loadEnum,
  fileDesc as loadFile,
  messageDesc as loadMessage,
  serviceDesc as loadService,
} from "@bufbuild/protobuf/codegenv2";

/**
 * What generated code calls in place of protobuf-es' own functions: descriptors that are made when something of them is
 * first asked for, but for their names. A process uses few of all messages, and making all descriptors takes a third of a
 * daemon's start and memory in each process.
 */

type Path = readonly [number, ...number[]];

const files = new WeakMap<object, () => GenFile>();

/** A file of base64 bytes and the files that it imports. */
export function fileDesc(b64: string, imports?: readonly DescFile[]): GenFile {
  let made: GenFile | undefined;
  const load = (): GenFile => (made ??= loadFile(b64, imports?.map(madeFile) ?? []));
  const file = lazily<GenFile>({}, load);
  files.set(file, load);
  return file;
}

/** A message's descriptor, by its place in the file. */
export function messageDesc<T extends Message>(file: DescFile, typeName: string, ...path: Path): GenMessage<T> {
  const load = (): DescMessage => loadMessage(madeFile(file), ...path);
  return lazily<DescMessage>({ kind: "message", typeName }, load) as GenMessage<T>;
}

/** An enum's descriptor, by its place in the file. */
export function enumDesc<T extends number>(file: DescFile, typeName: string, ...path: Path): GenEnum<T> {
  const load = (): DescEnum => loadEnum(madeFile(file), ...path);
  return lazily<DescEnum>({ kind: "enum", typeName }, load) as GenEnum<T>;
}

/** A service's descriptor, by its place in the file. */
export function serviceDesc<T extends GenServiceMethods>(
  file: DescFile,
  typeName: string,
  ...path: Path
): GenService<T> {
  const load = (): DescService => loadService(madeFile(file), ...path);
  return lazily<DescService>({ kind: "service", typeName }, load) as GenService<T>;
}

/** A file as protobuf-es made it; its own, of Google's messages, are made from the start. */
function madeFile(file: DescFile): GenFile {
  return (files.get(file)?.() ?? file) as GenFile;
}

const loaders = new WeakMap<object, () => object>();

/** What stands behind an object that is not made yet: whatever is asked of it, it is made, and no longer stands there. */
const unmade = new Proxy(
  {},
  {
    get: (_, key, receiver: object) => Reflect.get(make(receiver), key) as unknown,
    has: () => false,
  },
);

function lazily<T extends object>(known: Partial<T>, load: () => T): T {
  const object = Object.assign(Object.create(unmade) as object, known);
  loaders.set(object, load);
  return object as T;
}

function make(object: object): object {
  const load = loaders.get(object);
  if (load === undefined) throw new TypeError("a descriptor that is not made yet is no prototype");
  const made = load();
  loaders.delete(object);
  Object.setPrototypeOf(object, Object.getPrototypeOf(made) as object);
  return Object.assign(object, made);
}
