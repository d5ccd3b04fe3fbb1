import { FaultError, quote } from "../../lib/faults.ts";

/** A reference taken apart. Source: containerd pkg/reference/reference.go, Spec. */
export interface RefSpec {
  /** As it was given. */
  readonly text: string;
  /** The registry's name, which need not be where it is: `docker.io`, `host:5000`. */
  readonly host: string;
  readonly repository: string;
  /** Empty when none is named. */
  readonly tag: string;
  /** Empty when none is named; not checked. */
  readonly digest: string;
}

const hostPattern = /^(?:[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?$/;
const segmentPattern = /^[A-Za-z0-9._~-]+$/;
const tagPattern = /^\w[\w.-]{0,127}$/;

/**
 * Takes `host/repository[:tag][@digest]` apart.
 * Errors: invalidArgument, with containerd's words; what becomes part of an address is checked here and nowhere else.
 */
export function parseRef(text: string): RefSpec {
  const fail = (why: string): FaultError => new FaultError("invalidArgument", `reference ${quote(text)}: ${why}`);
  if (text.includes("://")) throw fail("invalid reference: leave the scheme out");
  const slash = text.indexOf("/");
  const host = slash === -1 ? text : text.slice(0, slash);
  if (host === "") throw fail("hostname required");
  if (!hostPattern.test(host)) throw fail(`invalid reference: ${quote(host)} is not a host`);
  const path = slash === -1 ? "" : text.slice(slash + 1);
  const cut = path.search(/[:@]/);
  const repository = cut === -1 ? path : path.slice(0, cut);
  const object = cut === -1 ? "" : path.slice(path[cut] === ":" ? cut + 1 : cut);
  if (!repository.split("/").every((part) => segmentPattern.test(part) && part !== "." && part !== "..")) {
    throw fail(`invalid reference: ${quote(repository)} is not a repository`);
  }
  const at = object.indexOf("@");
  const tag = at === -1 ? object : object.slice(0, at);
  if (tag !== "" && !tagPattern.test(tag)) throw fail(`invalid reference: ${quote(tag)} is not a tag`);
  return { text, host, repository, tag, digest: at === -1 ? "" : object.slice(at + 1) };
}
